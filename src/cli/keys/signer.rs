//! `hourglass keys signer`: who may sign what.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{capture_file, next_trust, open_root, trust};
use crate::{
    cli::{CliError, ExitCode, Report, repo::Repo},
    model::{EntryNumber, Lineage, Secret},
    pipeline::VaultIdentity,
    repository::{
        keys::{IdentityFile, OperatorFile, PublicKey, SignerOffer, SigningKey},
        layout::FORMAT,
        trust::{Revocation, Role, Signer},
    },
};

/// No name is longer.
const NAME_MAX: usize = 64;

/// What to do with signers.
#[derive(Debug, Clone, Subcommand)]
pub enum SignerCommand {
    /// Make a signer's key: a secret file, and beside it FILE.pub for the holder of the root
    #[command(after_long_help = "Nobody believes the key until `hourglass keys signer add` has put its public part into the trust.\n\n\
        Example:\n  hourglass keys signer new --role expire --to expire.key\n  \
        hourglass keys signer new --role operator --name berta --to berta.key --identity age.key")]
    New(NewArgs),
    /// Believe a signer from now on; needs the root
    #[command(after_long_help = "Example:\n  hourglass keys signer add expire.key.pub --root /media/usb/root.key")]
    Add {
        /// The public part that `keys signer new` wrote
        #[arg(value_name = "FILE")]
        offer: PathBuf,
        /// The root's file
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
    },
    /// Believe a signer no more; what it has signed so far stays valid; needs the root
    #[command(after_long_help = "Each record keeps what the signer wrote up to its present end. --last-accepted draws the line earlier: \
        after a theft, at the last entry before it. Entries above the line become void, and with them all that continue them.\n\n\
        Example:\n  hourglass keys signer revoke expire --root /media/usb/root.key --reason \"job was retired\"\n  \
        hourglass keys signer revoke berta --root /media/usb/root.key --reason \"laptop was stolen\" --last-accepted production@we/1:41")]
    Revoke(RevokeArgs),
}

/// A new signer.
#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    /// What it may do
    #[arg(long, value_enum)]
    pub role: RoleArg,
    /// What people call it; without it, the role, and for capture also the site
    #[arg(long)]
    pub name: Option<String>,
    /// The secret file, which does not exist yet
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// A file with an age identity that opens vaults, for operator and verify; without it an operator gets a new one
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}

/// What a signer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Everything.
    Operator,
    /// Expiries and prunes.
    Expire,
    /// Proofs.
    Verify,
    /// Backups of this site.
    Capture,
}

/// The end of a signer.
#[derive(Debug, Clone, Args)]
pub struct RevokeArgs {
    /// Its name or its public key, as `keys list` shows them
    pub signer: String,
    /// The root's file
    #[arg(long, value_name = "FILE")]
    pub root: PathBuf,
    /// Why, for those who read the trust
    #[arg(long)]
    pub reason: String,
    /// The last entry of a lineage that is still believed (0 for none), instead of its newest
    #[arg(long, value_name = "LINEAGE:NUMBER")]
    pub last_accepted: Vec<LastAccepted>,
}

/// The end of a signer's credit in one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAccepted {
    lineage: Lineage,
    number: EntryNumber,
}

impl FromStr for LastAccepted {
    type Err = String;

    fn from_str(text: &str) -> Result<LastAccepted, String> {
        let (lineage, number) = text.rsplit_once(':').ok_or("it has the form production@we/1:42")?;
        let number = number.parse().map_err(|_| format!("{number:?} is not the number of an entry"))?;
        Ok(LastAccepted { lineage: lineage.parse().map_err(|error| format!("{error}"))?, number: EntryNumber(number) })
    }
}

/// Runs it.
///
/// # Errors
/// Those of the key files and of writing the trust; a name or key that is taken, unknown, revoked or the last of its kind.
pub(super) async fn run(command: SignerCommand, repo: Repo) -> Result<Report, CliError> {
    match command {
        SignerCommand::New(args) => new(&args, &repo),
        SignerCommand::Add { offer, root } => add(repo, &offer, &root).await,
        SignerCommand::Revoke(args) => revoke(repo, args).await,
    }
}

fn new(args: &NewArgs, repo: &Repo) -> Result<Report, CliError> {
    let (role, site) = match args.role {
        RoleArg::Operator => (Role::Operator, None),
        RoleArg::Expire => (Role::Expire, None),
        RoleArg::Verify => (Role::Verify, None),
        RoleArg::Capture => (Role::Capture, Some(repo.config.site.clone())),
    };
    if !args.identity.is_empty() && !matches!(role, Role::Operator | Role::Verify) {
        return Err(CliError::usage(format!("--identity opens vaults, and the role {} may not read", role.as_str())));
    }
    let default = site.as_ref().map_or(role.as_str().to_owned(), |site| format!("capture-{site}"));
    let name = args.name.clone().unwrap_or(default);
    check_name(&name)?;
    let mut identities = args.identity.iter().map(|path| identity(path)).collect::<Result<Vec<_>, _>>()?;
    if role == Role::Operator && identities.is_empty() {
        identities.push(VaultIdentity::generate().to_secret());
    }
    let readers: Vec<_> = identities.iter().filter_map(|text| text.expose().parse::<VaultIdentity>().ok()).collect();
    let readers: Vec<String> = readers.iter().map(|identity| identity.recipient().to_string()).collect();
    let (file, key) = match &site {
        Some(site) => {
            let file = crate::repository::keys::CaptureFile { name: name.clone(), ..capture_file(&repo.id, site) };
            let key = file.signing_key.public().clone();
            (IdentityFile::Capture(file), key)
        }
        None => {
            let signing_key = SigningKey::generate();
            let key = signing_key.public().clone();
            (IdentityFile::Operator(OperatorFile { repository: repo.id.clone(), name: name.clone(), role, signing_key, identities }), key)
        }
    };
    let public = args.to.with_added_extension("pub");
    let offer = SignerOffer { format: FORMAT, repository: repo.id.clone(), signer: Signer { name, role, site, key } };
    // The public part first: a secret file without it would be of no use and in the way of the next try.
    offer.create(&public)?;
    file.create(&args.to).inspect_err(|_| drop(std::fs::remove_file(&public)))?;
    let mut text = format!(
        "{} is the secret file of a new {} signer, and {} its public part.\nNext: hourglass keys signer add {} --root ROOT.KEY\n",
        args.to.display(),
        role.as_str(),
        public.display(),
        public.display()
    );
    for reader in &readers {
        text += &format!("So that it can read, an operator wraps the vault to it: hourglass keys recipient {reader}\n");
    }
    Ok(Report::new(json!({"signer": offer.signer, "path": args.to, "public": public, "recipients": readers}), text))
}

fn check_name(name: &str) -> Result<(), CliError> {
    let good = (1..=NAME_MAX).contains(&name.len()) && !name.contains(char::is_control) && name.trim() == name;
    match good && name.parse::<PublicKey>().is_err() {
        true => Ok(()),
        false => Err(CliError::usage(format!("{name:?} is not the name of a signer"))
            .hint(format!("at most {NAME_MAX} bytes, without control characters and white space around them"))),
    }
}

/// The first identity in a file as `age-keygen` writes it.
fn identity(path: &Path) -> Result<Secret, CliError> {
    let text = std::fs::read_to_string(path).map(Secret::new).map_err(|error| CliError::file("reading", path, &error))?;
    let line = text.expose().lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    match line.parse::<VaultIdentity>() {
        Ok(_) => Ok(Secret::new(line.to_owned())),
        // Never the parser's own message: it may quote what it read.
        Err(_) => Err(CliError::usage(format!("{} holds no age identity (AGE-SECRET-KEY-1…)", path.display())).hint("`age-keygen` makes one")),
    }
}

async fn add(repo: Repo, offer: &Path, root: &Path) -> Result<Report, CliError> {
    let root = open_root(&repo, root)?;
    let SignerOffer { repository, signer, .. } = SignerOffer::open(offer)?;
    if repository != repo.id {
        return Err(CliError::usage(format!("{} belongs to another repository", offer.display())));
    }
    check_name(&signer.name)?;
    let now = trust(&repo);
    if now.signers.iter().any(|known| known.key == signer.key) {
        return Ok(Report::new(json!({"signer": signer, "changed": false}), format!("{} is in the trust already", signer.name)));
    }
    let revoked = repo.trusts.objects().any(|(trust, _)| trust.revoked.iter().any(|revocation| revocation.key == signer.key));
    if revoked {
        return Err(CliError::usage("the key of this signer was revoked, for good").hint("`hourglass keys signer new` makes another"));
    }
    if now.signers.iter().any(|known| known.name == signer.name) {
        let taken = CliError::usage(format!("there is a signer {:?} already", signer.name));
        return Err(taken.hint("make the key again with another --name, or revoke that signer first"));
    }
    let named = signer.clone();
    let repo = next_trust(repo, &root, |content| content.signers.push(named)).await?;
    let text = format!("{} ({}) is believed from trust object {} on", signer.name, signer.role.as_str(), trust(&repo).number);
    Ok(Report::new(json!({"signer": signer, "changed": true, "trust": trust(&repo).number}), text))
}

async fn revoke(repo: Repo, args: RevokeArgs) -> Result<Report, CliError> {
    let root = open_root(&repo, &args.root)?;
    let now = trust(&repo);
    let is_meant = |signer: &&Signer| signer.name == args.signer || signer.key.as_str() == args.signer;
    let names: Vec<&str> = now.signers.iter().map(|signer| signer.name.as_str()).collect();
    let unknown = || CliError::new(ExitCode::Usage, "usage", format!("the trust has no signer {:?}", args.signer));
    let signer = now.signers.iter().find(is_meant).cloned().ok_or_else(|| unknown().hint(format!("it has: {}", names.join(", "))))?;
    if signer.role == Role::Operator && now.signers.iter().filter(|signer| signer.role == Role::Operator).count() == 1 {
        return Err(CliError::usage(format!("{} is the only operator: without one nobody can decide anything", signer.name))
            .hint("add another first: `hourglass keys signer new --role operator`, `hourglass keys signer add`"));
    }
    let last_accepted = last_accepted(&repo, &args.last_accepted).await?;
    let new = Revocation { key: signer.key.clone(), last_accepted: last_accepted.clone(), reason: args.reason };
    let repo = next_trust(repo, &root, |content| {
        content.signers.retain(|other| other.key != signer.key);
        content.revoked.push(new);
    })
    .await?;
    let text = format!("{} is believed no more, from trust object {} on", signer.name, trust(&repo).number);
    Ok(Report::new(json!({"signer": signer, "trust": trust(&repo).number, "last_accepted": last_accepted}), text))
}

/// The heads of all records of the repository, or what was asked for instead.
///
/// # Errors
/// A record cannot be read or shows less than before; a lineage that was named has no such entry.
pub(super) async fn last_accepted(repo: &Repo, asked: &[LastAccepted]) -> Result<BTreeMap<Lineage, EntryNumber>, CliError> {
    let mut last = BTreeMap::new();
    for lineage in repo.all_lineages().await? {
        if let Some(head) = repo.record_to_write(&lineage).await?.without_gap()?.head() {
            last.insert(lineage, head.number);
        }
    }
    for LastAccepted { lineage, number } in asked {
        match last.get_mut(lineage) {
            Some(head) if number <= head => *head = *number,
            Some(head) => return Err(CliError::usage(format!("the record of {lineage} ends at {}, before {}", head.0, number.0))),
            None => return Err(CliError::usage(format!("there is no record of {lineage}"))),
        }
    }
    Ok(last)
}
