//! `hourglass keys`

mod signer;

use std::{
    fs::File,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, output::table, repo::Repo};
use crate::{
    config::PRIMARY,
    model::{Clock, Lineage, RepositoryId, Secret, SiteName, SystemClock, VaultId},
    pipeline::{ChunkKey, VaultIdentity, VaultRecipient},
    repository::{
        keys::{CaptureFile, IdentityFile, OperatorFile, PublicKey, RootFile, SigningKey, vault},
        record::{Body, Proof, Proven},
        trust::{Revocation, Role, Signer, Trust, TrustContent, TrustedVault},
    },
};

/// Manage vaults and signers
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass keys list")]
pub struct KeysArgs {
    /// What to do
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// List signers with their roles, vaults, and where each vault is proved
    #[command(after_long_help = "Example:\n  hourglass keys list")]
    List,
    /// Make a new vault, and have new epochs use it; needs the root
    #[command(after_long_help = "Earlier vaults stay readable. Prove the new one: until then its points are unproven.\n\n\
        Example:\n  hourglass keys vault --root /media/usb/root.key")]
    Vault {
        /// The root's file
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
    },
    /// Wrap a vault's identity to another set of recipients
    #[command(
        after_long_help = "None of the wrappings before is removed.\n\nExample:\n  hourglass keys recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    )]
    Recipient {
        /// age recipients that shall be able to open the vault, besides this operator
        #[arg(required = true, value_name = "RECIPIENT")]
        recipients: Vec<String>,
        /// The vault; without it, the one in use
        #[arg(long, value_name = "ID")]
        vault: Option<VaultId>,
    },
    /// Open the vault in use and write the proof into the record of each policy
    #[command(
        after_long_help = "A vault that nobody has opened may be one that nobody can: its points are not called good.\n\nExample:\n  hourglass keys prove"
    )]
    Prove,
    /// Open a vault and write its identity to a file, for recovery by hand
    #[command(
        after_long_help = "The file decrypts every pack of the vault. Delete it when done.\n\nExample:\n  hourglass keys unlock --to vault.key"
    )]
    Unlock {
        /// The vault; without it, the one in use
        #[arg(long, value_name = "ID")]
        vault: Option<VaultId>,
        /// A file that does not exist yet; it gets rights 0600
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Replace the capture key: a new file for the cluster, and no credit for the old key from here on; needs the root
    #[command(after_long_help = "Entries that the old key has signed so far stay valid. The next backup reads everything again.\n\n\
        Example:\n  hourglass keys rotate --root /media/usb/root.key --to capture-2.key --reason \"node was lost\"")]
    Rotate {
        /// The root's file
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
        /// The new capture file, which does not exist yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Why, for those who read the trust
        #[arg(long)]
        reason: String,
    },
    /// Make, add and revoke signers
    #[command(after_long_help = "Example:\n  hourglass keys signer new --role expire --to expire.key\n  \
        hourglass keys signer add expire.key.pub --root /media/usb/root.key")]
    Signer {
        /// What to do
        #[command(subcommand)]
        command: signer::SignerCommand,
    },
}

/// Runs it.
///
/// # Errors
/// Those of opening the repository and the key files.
pub async fn run(args: KeysArgs, globals: &Globals) -> Result<Report, CliError> {
    let repo = Repo::open(globals, PRIMARY).await?;
    match args.command {
        KeysCommand::List => list(&repo).await,
        KeysCommand::Vault { root } => new_vault(repo, &root).await,
        KeysCommand::Recipient { recipients, vault } => rewrap(&repo, &recipients, vault).await,
        KeysCommand::Prove => {
            let proved = prove(&repo).await?;
            let text = match (repo.lineages().is_empty(), proved.is_empty()) {
                (true, _) => "there is no policy yet, so there is no record to write the proof into".to_owned(),
                (false, true) => "the vault in use is proved in every record already".to_owned(),
                (false, false) => proved.iter().map(|lineage| format!("proved the vault in use for {lineage}\n")).collect(),
            };
            Ok(Report::new(json!({ "proved": proved }), text))
        }
        KeysCommand::Unlock { vault, to } => unlock(&repo, vault, &to).await,
        KeysCommand::Rotate { root, to, reason } => rotate(repo, &root, &to, reason).await,
        KeysCommand::Signer { command } => signer::run(command, repo).await,
    }
}

fn trust(repo: &Repo) -> &Trust {
    repo.trusts.in_force().expect("a chain that was loaded is not empty")
}

fn vault_in_use(repo: &Repo) -> Result<&TrustedVault, CliError> {
    let none = || CliError::new(ExitCode::Failed, "not-found", "the trust names no vault").hint("`hourglass keys vault` makes one");
    trust(repo).current_vault().ok_or_else(none)
}

async fn list(repo: &Repo) -> Result<Report, CliError> {
    let trust = trust(repo);
    let revoked = |key: &PublicKey| trust.revoked.iter().any(|revocation| revocation.key == *key);
    // Who was revoked is not among the signers any more, and its entries are still there.
    let gone = trust.revoked.iter().filter_map(|revocation| repo.trusts.signer(&revocation.key));
    let gone = gone.filter(|signer| !trust.signers.iter().any(|known| known.key == signer.key));
    let signers: Vec<_> = trust
        .signers
        .iter()
        .chain(gone)
        .map(|signer| {
            let site = signer.site.as_ref().map_or("-".to_owned(), ToString::to_string);
            let state = if revoked(&signer.key) { "revoked" } else { "trusted" };
            vec![signer.name.clone(), signer.role.as_str().to_owned(), site, state.to_owned(), signer.key.to_string()]
        })
        .collect();
    let (mut vaults, mut data) = (Vec::new(), Vec::new());
    let lineages = repo.lineages();
    for (index, vault) in trust.vaults.iter().enumerate() {
        let mut proved = Vec::new();
        for lineage in &lineages {
            if repo.record(lineage).await?.0.state().proven_vaults.contains_key(&vault.id) {
                proved.push(lineage.to_string());
            }
        }
        let in_use = index + 1 == trust.vaults.len();
        let shown = if proved.is_empty() { "nowhere".to_owned() } else { proved.join(", ") };
        vaults.push(vec![vault.id.to_string(), if in_use { "in use" } else { "earlier" }.to_owned(), shown, vault.recipient.clone()]);
        data.push(json!({"id": vault.id, "recipient": vault.recipient, "in_use": in_use, "proved": proved}));
    }
    let text = format!(
        "{}\n{}",
        table(&["SIGNER", "ROLE", "SITE", "STATE", "KEY"], &signers),
        table(&["VAULT", "STATE", "PROVED FOR", "RECIPIENT"], &vaults)
    );
    Ok(Report::new(json!({"trust": trust.number, "signers": trust.signers, "revoked": trust.revoked, "vaults": data}), text))
}

fn open_root(repo: &Repo, path: &Path) -> Result<RootFile, CliError> {
    let root = IdentityFile::open_root(path)?;
    match repo.config.trust_root.as_deref() == Some(root.signing_key.public().as_str()) {
        true => Ok(root),
        false => Err(CliError::usage(format!("{} is not the root that the configuration trusts", path.display()))),
    }
}

/// Signs the next trust object, which `change` makes from the one in force.
async fn next_trust(repo: Repo, root: &RootFile, change: impl FnOnce(&mut TrustContent)) -> Result<Repo, CliError> {
    let now = trust(&repo).clone();
    let mut content =
        TrustContent { repository: now.repository, written: SystemClock.now(), signers: now.signers, vaults: now.vaults, revoked: now.revoked };
    change(&mut content);
    let mut trusts = Arc::unwrap_or_clone(repo.trusts);
    trusts.append(&*repo.store, &root.signing_key, content).await?;
    Ok(Repo { trusts: Arc::new(trusts), ..repo })
}

async fn new_vault(repo: Repo, root: &Path) -> Result<Report, CliError> {
    let root = open_root(&repo, root)?;
    let own = recipients_of(&repo.operator()?)?;
    let (vault, _) = vault::create(&*repo.store, &own).await?;
    let id = vault.id.clone();
    let repo = next_trust(repo, &root, |content| content.vaults.push(vault)).await?;
    let proved = prove(&repo).await?;
    let text = format!("vault {id} is in use for new epochs and proved for {} records; earlier vaults stay readable", proved.len());
    Ok(Report::new(json!({"vault": id, "proved": proved}), text))
}

/// The recipients that open what this operator's identities open.
pub(super) fn recipients_of(operator: &OperatorFile) -> Result<Vec<VaultRecipient>, CliError> {
    let parse = |secret: &Secret| secret.expose().parse::<VaultIdentity>().map(|identity| identity.recipient());
    let own: Result<Vec<_>, _> = operator.identities.iter().map(parse).collect();
    own.map_err(|error| CliError::from_error(ExitCode::Usage, "input", &error))
}

async fn rewrap(repo: &Repo, recipients: &[String], vault: Option<VaultId>) -> Result<Report, CliError> {
    let operator = repo.operator()?;
    let mut all = recipients_of(&operator)?;
    for text in recipients {
        let bad = |error| CliError { causes: vec![], ..CliError::from_error(ExitCode::Usage, "input", &error) };
        all.push(text.parse().map_err(bad)?);
    }
    let id = vault.map_or_else(|| vault_in_use(repo).map(|vault| vault.id.clone()), Ok)?;
    let unlocked = vault::unlock(&*repo.store, &repo.trusts, &id, &operator.identities).await?;
    let number = vault::wrap(&*repo.store, &unlocked.identity, &all).await?.number;
    let text = format!("wrapping {number} of vault {id} can be opened by {} recipients", all.len());
    Ok(Report::new(json!({"vault": id, "wrapping": number, "recipients": all.iter().map(ToString::to_string).collect::<Vec<_>>()}), text))
}

/// Opens the vault in use and says so in every record that does not yet, or names another wrapping.
pub(super) async fn prove(repo: &Repo) -> Result<Vec<Lineage>, CliError> {
    let id = vault_in_use(repo)?.id.clone();
    let mut proved = Vec::new();
    let operator = repo.operator()?;
    let unlocked = vault::prove(&*repo.store, &repo.trusts, &id, &operator.identities).await?;
    for lineage in repo.written() {
        let mut record = repo.record_to_write(&lineage).await?;
        if record.state().proven_vaults.get(&id) != Some(&unlocked.wrapping) {
            let proof = Proof { of: Proven::Vault { vault: id.clone(), wrapping: unlocked.wrapping } };
            repo.decide(&mut record, &operator, Body::Proof(proof)).await?;
            proved.push(lineage);
        }
    }
    Ok(proved)
}

async fn unlock(repo: &Repo, vault: Option<VaultId>, to: &Path) -> Result<Report, CliError> {
    let operator = repo.operator()?;
    let id = vault.map_or_else(|| vault_in_use(repo).map(|vault| vault.id.clone()), Ok)?;
    let unlocked = vault::unlock(&*repo.store, &repo.trusts, &id, &operator.identities).await?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(|error| CliError::file("creating", to, &error))?;
    let secret = unlocked.identity.to_secret();
    file.write_all(secret.expose().as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(|error| CliError::file("writing", to, &error))?;
    let text = format!("{} opens every pack of vault {id}: `age -d -i {} PACK`; delete it when done", to.display(), to.display());
    Ok(Report::new(json!({"vault": id, "path": to}), text))
}

async fn rotate(repo: Repo, root: &Path, to: &Path, reason: String) -> Result<Report, CliError> {
    let root = open_root(&repo, root)?;
    let site = repo.config.site.clone();
    let is_ours = |signer: &Signer| signer.role == Role::Capture && signer.site.as_ref() == Some(&site);
    let old: Vec<PublicKey> = trust(&repo).signers.iter().filter(|signer| is_ours(signer)).map(|signer| signer.key.clone()).collect();
    let last_accepted = signer::last_accepted(&repo, &[]).await?;
    let file = capture_file(&repo.id, &site);
    let key = file.signing_key.public().clone();
    let signer = Signer { name: file.name.clone(), role: Role::Capture, site: Some(site), key: key.clone() };
    IdentityFile::Capture(file).create(to)?;
    next_trust(repo, &root, |content| {
        content.signers.retain(|signer| !old.contains(&signer.key));
        content.signers.push(signer);
        let new = old.into_iter().map(|key| Revocation { key, last_accepted: last_accepted.clone(), reason: reason.clone() });
        content.revoked.extend(new);
    })
    .await?;
    let text = format!("{} is the capture key from now on; give it to the cluster and destroy the old one", to.display());
    Ok(Report::new(json!({"key": key, "path": to}), text))
}

/// A new file of secrets for the cluster.
pub(super) fn capture_file(repository: &RepositoryId, site: &SiteName) -> CaptureFile {
    CaptureFile {
        repository: repository.clone(),
        name: format!("capture-{site}"),
        site: site.clone(),
        signing_key: SigningKey::generate(),
        index_identity: VaultIdentity::generate().to_secret(),
        chunk_key: ChunkKey::generate(),
    }
}
