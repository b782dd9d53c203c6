//! What has to be so that this site could take the service over: as written, and resolved.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{Lineage, MemberName};

/// What has to be so that this site could take the service over. `hourglass ready` asks for it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileReady {
    /// Lineages, as `POLICY@SITE/GENERATION`, each with the largest age of its newest good point that is complete at `location`.
    #[serde(default)]
    pub points: BTreeMap<String, String>,
    /// The location of this site's copies. Default `primary`.
    pub location: Option<String>,
    /// Sources of images whose registry has to hold each reference whole.
    #[serde(default)]
    pub images: Vec<String>,
    /// Sources of Kubernetes, each with what its cluster has to have.
    #[serde(default)]
    pub clusters: BTreeMap<String, FileCluster>,
    /// Files of certificates (PEM), by a name.
    #[serde(default)]
    pub certificates: BTreeMap<String, String>,
    /// Licences by a name, each with its last day, for example `2027-06-30`.
    #[serde(default)]
    pub licences: BTreeMap<String, String>,
    /// How long certificates and licences have to last. Default `30d`.
    pub valid_for: Option<String>,
    /// Sources whose systems have to let us in.
    #[serde(default)]
    pub credentials: Vec<String>,
}

/// What a cluster has to have.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCluster {
    /// Labels, `KEY=VALUE`, each with how many nodes that are ready and take pods have it.
    #[serde(default)]
    pub nodes: BTreeMap<String, u32>,
    /// What nodes that are ready and take pods have to have free in all, for example `cpu: "8"`, `memory: 32Gi`.
    #[serde(default)]
    pub room: BTreeMap<String, String>,
    /// Kinds that are served, as `VERSION/KIND` or `GROUP/VERSION/KIND`.
    #[serde(default)]
    pub kinds: Vec<String>,
}

/// What has to be.
#[derive(Debug, Clone, Default)]
pub struct ReadyConfig {
    /// Lineages, with the largest age of a point.
    pub points: BTreeMap<Lineage, Duration>,
    /// Where they are.
    pub location: String,
    /// Sources of images.
    pub images: Vec<MemberName>,
    /// Clusters.
    pub clusters: BTreeMap<MemberName, ClusterNeeds>,
    /// Certificates.
    pub certificates: BTreeMap<String, PathBuf>,
    /// Last days of licences.
    pub licences: BTreeMap<String, jiff::civil::Date>,
    /// How long they have to last.
    pub valid_for: Duration,
    /// Sources that have to answer.
    pub credentials: Vec<MemberName>,
}

/// What a cluster has to have.
#[derive(Debug, Clone, Default)]
pub struct ClusterNeeds {
    /// Nodes by label.
    pub nodes: BTreeMap<(String, String), u32>,
    /// Free resources, in thousandths of their unit.
    pub room: BTreeMap<String, u128>,
    /// Group and version, and kind.
    pub kinds: Vec<(String, String)>,
}

/// A quantity of Kubernetes in thousandths of its unit, rounded down; none when it is not one.
pub fn quantity(text: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 12] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("m", 0),
        ("", 1),
    ];
    let (unit, factor) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| {
        (!text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u128>().ok()).flatten()
    };
    let (whole, thousandths) = (digits(whole)?, digits(&format!("{part:0<3}").chars().take(3).collect::<String>())?);
    Some(match factor {
        0 => whole,
        factor => (whole * 1000 + thousandths).checked_mul(factor)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let read = [("2", 2000), ("500m", 500), ("1.5", 1500), ("1Ki", 1_024_000), ("64Gi", (64 << 30) * 1000), ("1k", 1_000_000)];
        for (text, thousandths) in read {
            assert_eq!(quantity(text), Some(thousandths), "{text}");
        }
        for bad in ["", "x", "-1", "1.x", "1 Gi", "Gi"] {
            assert_eq!(quantity(bad), None, "{bad:?}");
        }
    }
}
