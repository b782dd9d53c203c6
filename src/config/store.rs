//! Where objects lie: one object store, as configured.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::model::InvalidId;

/// Root of a store: everything of ours lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `file:///srv/backup` or a plain absolute path.
    Directory(PathBuf),
    /// `s3://bucket/prefix`; the prefix may be empty.
    S3 {
        /// The bucket.
        bucket: String,
        /// Relative, without slashes at its ends.
        prefix: String,
    },
    /// `azure://account/container/prefix`; the prefix may be empty.
    Azure {
        /// The storage account.
        account: String,
        /// The container.
        container: String,
        /// Relative, without slashes at its ends.
        prefix: String,
    },
}

const RULE: &str = "use file:///absolute/path, s3://bucket/prefix or azure://account/container/prefix";

impl FromStr for StoreUrl {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            if let Some(path) = text.strip_prefix("file://").or(text.starts_with('/').then_some(text)) {
                return path.starts_with('/').then(|| StoreUrl::Directory(PathBuf::from(path)));
            }
            let (scheme, rest) = text.split_once("://")?;
            let rest = rest.trim_end_matches('/');
            let part = |text: &str| (!text.is_empty() && !text.contains(['?', '#', ' ', '@'])).then(|| text.to_owned());
            match scheme {
                "s3" => {
                    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                    Some(StoreUrl::S3 { bucket: part(bucket)?, prefix: prefix.to_owned() })
                }
                "azure" => {
                    let (account, rest) = rest.split_once('/')?;
                    let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                    Some(StoreUrl::Azure { account: part(account)?, container: part(container)?, prefix: prefix.to_owned() })
                }
                _ => None,
            }
        };
        parse().ok_or(InvalidId { kind: "store URL", text: text.to_owned(), rule: RULE })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |head: String, prefix: &str| if prefix.is_empty() { head } else { format!("{head}/{prefix}") };
        match self {
            StoreUrl::Directory(path) => write!(f, "file://{}", path.display()),
            StoreUrl::S3 { bucket, prefix } => f.write_str(&with(format!("s3://{bucket}"), prefix)),
            StoreUrl::Azure { account, container, prefix } => f.write_str(&with(format!("azure://{account}/{container}"), prefix)),
        }
    }
}

/// Object lock mode that packs and everything they need are put with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// Nobody can shorten it.
    Compliance,
    /// Somebody with a special right can.
    Governance,
}

/// One object store, as configured. Credentials that are not named here come from the cloud's default chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Where.
    pub url: StoreUrl,
    /// S3 region; the environment's when absent.
    pub region: Option<String>,
    /// Another endpoint than the cloud's own.
    pub endpoint: Option<url::Url>,
    /// S3: bucket in the path rather than in the host name.
    pub path_style: bool,
    /// PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Put objects with a retention date.
    pub lock: Option<LockMode>,
    /// Azure: file that holds the account's shared key.
    pub account_key_file: Option<PathBuf>,
    /// Azure: file that holds a SAS token.
    pub sas_file: Option<PathBuf>,
}

impl StoreConfig {
    /// A store at `url` with every default.
    pub fn at(url: StoreUrl) -> StoreConfig {
        StoreConfig { url, region: None, endpoint: None, path_style: false, ca_file: None, lock: None, account_key_file: None, sas_file: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_urls_read_back_what_they_print() {
        for text in ["file:///srv/b", "s3://bucket", "s3://bucket/a/b", "azure://account/container", "azure://account/container/p"] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), text);
        }
        for bad in ["", "relative", "file://host/x", "s3://", "s3:///x", "azure://account", "http://x/y", "s3://key:secret@bucket"] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad}");
        }
    }
}
