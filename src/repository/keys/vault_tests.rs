use super::*;
use crate::repository::{ErrorKind, record::testing::Lab};

async fn lab() -> (Lab, VaultIdentity, VaultId) {
    let (mut lab, operator) = (Lab::new().await, VaultIdentity::generate());
    let (vault, unlocked) = create(&lab.store, &[operator.recipient()]).await.unwrap();
    assert_eq!((unlocked.wrapping.number, vault_id(&vault.recipient)), (1, vault.id.clone()));
    let id = vault.id.clone();
    lab.vault = vault;
    lab.trust(|_| {}).await.unwrap();
    (lab, operator, id)
}

async fn plant(lab: &Lab, id: &VaultId, number: u64, recipient: &VaultRecipient, text: &str) {
    let sealed = seal(&[recipient], text.as_bytes()).unwrap();
    let put = lab.store.put_new(&layout::vault(id, number), sealed.clone(), &PutOptions::of(&sealed)).await;
    assert_eq!(put.unwrap(), Put::Created);
}

#[tokio::test]
async fn every_wrapping_opens_the_same_vault_for_its_own_recipients() {
    let (lab, operator, id) = lab().await;
    let second = VaultIdentity::generate();
    let unlocked = prove(&lab.store, &lab.trusts, &id, &[operator.to_secret()]).await.unwrap();
    assert_eq!(unlocked.identity.recipient().to_string(), lab.vault.recipient);
    assert_eq!(wrap(&lab.store, &unlocked.identity, &[second.recipient(), VaultIdentity::generate().recipient()]).await.unwrap().number, 2);
    assert_eq!(unlock(&lab.store, &lab.trusts, &id, &[second.to_secret()]).await.unwrap().wrapping.number, 2);
    assert_eq!(unlock(&lab.store, &lab.trusts, &id, &[operator.to_secret()]).await.unwrap().wrapping.number, 1);
    let stranger = VaultIdentity::generate().to_secret();
    assert_eq!(unlock(&lab.store, &lab.trusts, &id, &[stranger]).await.unwrap_err().kind(), ErrorKind::NotAllowed);
    let unknown = vault_id("age1unknown");
    assert_eq!(unlock(&lab.store, &lab.trusts, &unknown, &[operator.to_secret()]).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_forged_wrapping_is_passed_over_and_alone_it_is_an_error() {
    let (lab, operator, id) = lab().await;
    let other = VaultIdentity::generate();
    plant(&lab, &id, 2, &operator.recipient(), &format!("{}\n", other.to_secret().expose())).await;
    plant(&lab, &id, 3, &operator.recipient(), "junk").await;
    assert_eq!(prove(&lab.store, &lab.trusts, &id, &[operator.to_secret()]).await.unwrap().wrapping.number, 1);
    lab.store.delete(&layout::vault(&id, 1)).await.unwrap();
    let error = prove(&lab.store, &lab.trusts, &id, &[operator.to_secret()]).await.unwrap_err();
    assert!(matches!(error, RepositoryError::ForgedVault { .. }) && error.kind() == ErrorKind::Forgery);
}
