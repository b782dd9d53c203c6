//! What checks found, in the control store: numbered objects of a site, the newest of which counts. Format: docs/format/findings.md.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::journal::signed_line;
use crate::{
    model::{Clock, SiteName, Timestamp},
    pipeline::MacKey,
    repository::{keys::CaptureFile, layout},
    storage::{ErrorKind, ObjectStore, Put, PutOptions, StoreError, list_all},
};

const CONTEXT: &str = "hourglass findings 1";
/// Numbers that are kept behind the newest.
const KEPT: u64 = 20;
/// How often others may take the number that a finding was to have.
const MOST_RACES: u64 = 100;

/// About what policies cover.
pub const COVERAGE: &str = "coverage";

/// About whether this site could take the service over.
pub const READY: &str = "ready";

/// About what was read at a location, a part at a time.
pub fn read_at(location: &str) -> String {
    format!("read/{location}")
}

/// What a check found, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding<T> {
    /// Version of the format: 1.
    pub format: u32,
    /// Whose.
    pub site: SiteName,
    /// About what.
    pub about: String,
    /// From 1.
    pub number: u64,
    /// When it was written.
    pub written: Timestamp,
    /// What was found.
    pub found: T,
}

/// The findings of a site.
#[derive(Debug, Clone)]
pub struct Findings {
    store: Arc<dyn ObjectStore>,
    key: MacKey,
    site: SiteName,
}

impl Findings {
    /// Those of the site that the keys are of.
    pub fn new(control: Arc<dyn ObjectStore>, keys: &CaptureFile) -> Findings {
        Findings { store: control, key: keys.chunk_key.derive(CONTEXT), site: keys.site.clone() }
    }

    async fn numbers(&self, about: &str) -> Result<Vec<u64>, StoreError> {
        let listed = list_all(self.store.as_ref(), &layout::findings_prefix(&self.site, about)).await?;
        Ok(listed.iter().filter_map(|object| layout::number(&object.key)).collect())
    }

    /// The newest about something that somebody who may has written, and that can be read.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn newest<T: DeserializeOwned>(&self, about: &str) -> Result<Option<Finding<T>>, StoreError> {
        for number in self.numbers(about).await?.into_iter().rev() {
            let bytes = match self.store.get(&layout::finding(&self.site, about, number), None).await {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_ours = |one: &Finding<T>| one.format == layout::FORMAT && one.site == self.site && one.about == about && one.number == number;
            if let Some(finding) = signed_line::decode::<Finding<T>>(&bytes, &self.key).ok().filter(is_ours) {
                return Ok(Some(finding));
            }
        }
        Ok(None)
    }

    /// Writes what was found under the next number, and removes what is far behind.
    ///
    /// # Errors
    /// When the store does not answer, or others are always faster.
    pub async fn write<T: Serialize>(&self, about: &str, found: &T, clock: &dyn Clock) -> Result<(), StoreError> {
        let numbers = self.numbers(about).await?;
        let next = numbers.last().map_or(1, |last| last + 1);
        for number in next..next + MOST_RACES {
            let finding = Finding { format: layout::FORMAT, site: self.site.clone(), about: about.to_owned(), number, written: clock.now(), found };
            let body = Bytes::from(signed_line::encode(&finding, &self.key));
            let name = layout::finding(&self.site, about, number);
            if self.store.put_new(&name, body.clone(), &PutOptions::of(&body)).await? == Put::Created || self.store.get(&name, None).await? == body {
                for old in numbers.iter().filter(|old| **old + KEPT < number) {
                    self.store.delete(&layout::finding(&self.site, about, *old)).await?;
                }
                return Ok(());
            }
        }
        // Nobody writes so often; the next check writes again.
        tracing::warn!(about, "others are always faster at writing findings");
        Ok(())
    }
}
