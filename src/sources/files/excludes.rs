//! Which paths of a tree are left out.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::sources::SourceError;

/// Patterns as in .gitignore: a '/' at the start or within binds to the root, one at the end means directories only; what lies in an
/// excluded directory is excluded. There is no '!'.
#[derive(Debug)]
pub(super) struct Excludes {
    any: GlobSet,
    directories: GlobSet,
}

impl Excludes {
    pub(super) fn new(patterns: &[String]) -> Result<Excludes, SourceError> {
        let bad = |pattern: &str, why: String| SourceError::Pattern { pattern: pattern.to_owned(), why };
        let (mut any, mut directories) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let directory_only = pattern.ends_with('/');
            let body = pattern.trim_end_matches('/');
            let anchored = body.contains('/');
            let body = body.strip_prefix('/').unwrap_or(body);
            if body.is_empty() || body.starts_with('!') {
                return Err(bad(pattern, "it names nothing, or begins with '!'".to_owned()));
            }
            let whole = if anchored { body.to_owned() } else { format!("**/{body}") };
            let glob = GlobBuilder::new(&whole).literal_separator(true).build().map_err(|error| bad(pattern, error.kind().to_string()))?;
            if directory_only {
                directories.add(glob)
            } else {
                any.add(glob)
            };
        }
        let built = |set: GlobSetBuilder| set.build().map_err(|error| bad(error.glob().unwrap_or("(all together)"), error.kind().to_string()));
        Ok(Excludes { any: built(any)?, directories: built(directories)? })
    }

    pub(super) fn matches(&self, path: &[u8], is_directory: bool) -> bool {
        if path.is_empty() || (self.any.is_empty() && self.directories.is_empty()) {
            return false;
        }
        let candidate = Candidate::new(Path::new(OsStr::from_bytes(path)));
        self.any.is_match_candidate(&candidate) || (is_directory && self.directories.is_match_candidate(&candidate))
    }
}
