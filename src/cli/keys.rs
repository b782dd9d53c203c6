//! `hourglass keys`

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    #[command(after_long_help = "None of the wrappings before is removed.\n\nExample:\n  hourglass keys recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")]
    Recipient {
        /// age recipients that shall be able to open the vault, besides this operator
        #[arg(required = true, value_name = "RECIPIENT")]
        recipients: Vec<String>,
        /// The vault; without it, the one in use
        #[arg(long, value_name = "ID")]
        vault: Option<crate::model::VaultId>,
    },
    /// Open the vault in use and write the proof into the record of each policy
    #[command(after_long_help = "A vault that nobody has opened may be one that nobody can: its points are not called good.\n\nExample:\n  hourglass keys prove")]
    Prove,
    /// Open a vault and write its identity to a file, for recovery by hand
    #[command(after_long_help = "The file decrypts every pack of the vault. Delete it when done.\n\nExample:\n  hourglass keys unlock --to vault.key")]
    Unlock {
        /// The vault; without it, the one in use
        #[arg(long, value_name = "ID")]
        vault: Option<crate::model::VaultId>,
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
}
