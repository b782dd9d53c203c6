use super::*;
use crate::repository::{ErrorKind, record::testing::Lab};

async fn load(lab: &Lab) -> Result<TrustChain, RepositoryError> {
    TrustChain::load(&lab.store, &lab.repository, lab.root.public()).await
}

fn problem(result: Result<TrustChain, RepositoryError>) -> (u64, TrustProblem) {
    match result {
        Err(RepositoryError::Trust { number, problem }) => (number, problem),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_chain_reads_back_and_its_highest_object_is_in_force() {
    let mut lab = Lab::new().await;
    lab.trust(|content| content.signers.truncate(1)).await.unwrap();
    let chain = load(&lab).await.unwrap();
    assert_eq!(chain.in_force().unwrap().signers.len(), 1);
    assert_eq!((chain.head(), chain.head().unwrap().number), (lab.trusts.head(), 2));
    assert_eq!(chain.in_force().unwrap().current_vault(), Some(&lab.vault));
}

#[tokio::test]
async fn another_root_another_repository_and_an_empty_store_are_told_apart() {
    let lab = Lab::new().await;
    let other = SigningKey::generate();
    let wrong = TrustChain::load(&lab.store, &lab.repository, other.public()).await;
    assert!(matches!(problem(wrong), (1, TrustProblem::BadSignature(_))));
    let foreign: RepositoryId = "1f".repeat(16).parse().unwrap();
    assert_eq!(problem(TrustChain::load(&lab.store, &foreign, lab.root.public()).await), (1, TrustProblem::OtherRepository));
    let empty = tempfile::tempdir().unwrap();
    let store = crate::repository::record::testing::open_store(empty.path());
    let error = TrustChain::load(&store, &lab.repository, lab.root.public()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_missing_changed_or_unsigned_stops_the_chain() {
    let mut lab = Lab::new().await;
    lab.trust(|_| {}).await.unwrap();
    lab.trust(|_| {}).await.unwrap();
    let second = layout::trust(2);
    let bytes = lab.store.get(&second, None).await.unwrap();
    lab.store.delete(&second).await.unwrap();
    assert_eq!(problem(load(&lab).await), (2, TrustProblem::Missing));
    assert_eq!(TrustChain::load_valid(&lab.store, &lab.repository, lab.root.public()).await.unwrap().head().unwrap().number, 1);
    let changed = Bytes::from(String::from_utf8(bytes.to_vec()).unwrap().replace("operator", "Operator"));
    assert_eq!(lab.store.put_new(&second, changed.clone(), &PutOptions::of(&changed)).await.unwrap(), Put::Created);
    assert_eq!(problem(load(&lab).await), (2, TrustProblem::Unreadable));
    lab.store.delete(&second).await.unwrap();
    assert_eq!(lab.store.put_new(&second, bytes.clone(), &PutOptions::of(&bytes)).await.unwrap(), Put::Created);
    load(&lab).await.unwrap();
    lab.store.delete(&layout::trust_signature(crate::pipeline::sha256(&bytes))).await.unwrap();
    assert_eq!(problem(load(&lab).await), (2, TrustProblem::NoSignature));
}

#[tokio::test]
async fn the_root_refuses_to_sign_nonsense_and_to_replace() {
    let mut lab = Lab::new().await;
    let site = lab.trust(|content| content.signers[1].site = Some("we".parse().unwrap())).await.unwrap_err();
    assert!(matches!(site, RepositoryError::TrustRefused { problem: TrustProblem::Content(_) }));
    let vault = lab.trust(|content| content.vaults[0].recipient = "age1other".to_owned()).await.unwrap_err();
    assert!(matches!(vault, RepositoryError::TrustRefused { problem: TrustProblem::Content(_) }));
    let stale = lab.trusts.clone();
    lab.trust(|_| {}).await.unwrap();
    lab.trusts = stale;
    let taken = lab.trust(|content| content.signers.clear()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Forgery);
    assert_eq!(load(&lab).await.unwrap().in_force().unwrap().signers.len(), 4);
}
