//! Which cluster can restore what which cluster has written.
//!
//! Source of the rules: the version matrices of Elasticsearch ("Snapshot compatibility") and OpenSearch ("Restore snapshots"; minimum index
//! version of a major is the first of the one before). Index versions are `major * 1_000_000 + …`, with bit 27 flipped by OpenSearch.

use std::fmt;

use serde_json::Value;

use crate::sources::{SourceError, SourceErrorKind};

/// What OpenSearch flips in the versions of indices.
const OPENSEARCH: u64 = 1 << 27;

/// A make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    OpenSearch,
}

impl Make {
    /// As manifests name it.
    pub fn word(self) -> &'static str {
        match self {
            Make::Elasticsearch => "elasticsearch",
            Make::OpenSearch => "opensearch",
        }
    }
}

/// A version of a server, or the one that an index was created with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Whose.
    pub make: Make,
    /// `3` of 3.8.0.
    pub major: u64,
    /// `8` of 3.8.0. Of indices of Elasticsearch 8.11 and later it is a number of its own.
    pub minor: u64,
}

impl Version {
    /// Of an index, from `index.version.created`.
    pub fn of_index(created: u64) -> Version {
        let (make, id) = if created & OPENSEARCH == 0 { (Make::Elasticsearch, created) } else { (Make::OpenSearch, created ^ OPENSEARCH) };
        Version { make, major: id / 1_000_000, minor: id / 10_000 % 100 }
    }

    /// Of a server, from its answer to `GET /`.
    ///
    /// # Errors
    /// When that is no answer of such a server.
    pub fn of_server(answer: &Value) -> Result<Version, SourceError> {
        let version = &answer["version"];
        let make = if version["distribution"] == "opensearch" { Make::OpenSearch } else { Make::Elasticsearch };
        let mut numbers = version["number"].as_str().unwrap_or_default().split('.').map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Version { make, major, minor }),
            _ => Err(SourceError::Unfit {
                subject: "the server".to_owned(),
                why: "does not answer like Elasticsearch or OpenSearch".to_owned(),
                kind: SourceErrorKind::Usage,
                hint: Some("check the URL"),
            }),
        }
    }

    /// Why a cluster of version `self` cannot restore an index; `None` when it can.
    pub fn refusal(self, index: Version) -> Option<String> {
        let fits = match (index.make, self.make) {
            // Never from a later major; from the one before only.
            (Make::OpenSearch, Make::OpenSearch) => index.major <= self.major && index.major + 1 >= self.major,
            // 8.0 takes 7.x, and so on: also never older.
            (Make::Elasticsearch, Make::Elasticsearch) => index.major <= self.major && index.major + 1 >= self.major,
            (Make::Elasticsearch, Make::OpenSearch) => match self.major {
                1 => index.major == 6 || (index.major == 7 && index.minor <= 10),
                2 => index.major == 7 && index.minor <= 10,
                _ => false,
            },
            (Make::OpenSearch, Make::Elasticsearch) => false,
        };
        (!fits).then(|| format!("was created by {index}, which {self} cannot restore"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let make = if self.make == Make::OpenSearch { "OpenSearch" } else { "Elasticsearch" };
        write!(f, "{make} {}", self.major)?;
        // The minor numbers of its indices are no versions any more.
        if self.make == Make::Elasticsearch && self.major >= 8 { Ok(()) } else { write!(f, ".{}", self.minor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn can(server: (Make, u64, u64), created: u64) -> bool {
        let (make, major, minor) = server;
        Version { make, major, minor }.refusal(Version::of_index(created)).is_none()
    }

    #[test]
    fn versions_of_indices_tell_make_and_number() {
        let version = Version::of_index(137_217_827);
        assert_eq!(version, Version { make: Make::OpenSearch, major: 3, minor: 0 });
        assert_eq!(Version::of_index(7_100_299).to_string(), "Elasticsearch 7.10");
    }

    #[test]
    fn an_index_is_restored_by_its_own_major_and_the_next_one_only() {
        use Make::{Elasticsearch, OpenSearch};
        let opensearch = |major: u64| (major * 1_000_000 + 99) ^ OPENSEARCH;
        assert!(can((OpenSearch, 3, 8), opensearch(3)) && can((OpenSearch, 3, 8), opensearch(2)));
        assert!(!can((OpenSearch, 3, 8), opensearch(1)), "reindexed in 2.x first");
        assert!(!can((OpenSearch, 2, 19), opensearch(3)), "never to an older cluster");
        assert!(can((OpenSearch, 2, 9), 7_100_299) && !can((OpenSearch, 3, 0), 7_100_299));
        assert!(!can((OpenSearch, 2, 9), 7_170_099), "OpenSearch came from 7.10");
        assert!(can((OpenSearch, 1, 3), 6_080_299) && !can((OpenSearch, 2, 0), 6_080_299));
        assert!(can((Elasticsearch, 8, 14), 7_100_299) && !can((Elasticsearch, 8, 14), 6_080_299));
        assert!(can((Elasticsearch, 9, 0), 8_503_000) && !can((Elasticsearch, 7, 17), 8_503_000));
        assert!(!can((Elasticsearch, 8, 0), opensearch(2)));
    }
}
