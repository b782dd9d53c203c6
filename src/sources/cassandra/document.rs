//! What is not rows, as JSON: keyspaces with all that they consist of, and roles with their rights.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{error::CassandraError, schema::Keyspace};

/// The stream of the components `schema` and `indexes`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schema {
    /// Always `cassandra-schema`.
    pub format: String,
    /// Always 1.
    pub version: u32,
    /// The oldest release among the nodes.
    pub release: String,
    pub keyspaces: Vec<Keyspace>,
}

/// The stream of the component `roles`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roles {
    /// Always `cassandra-roles`.
    pub format: String,
    /// Always 1.
    pub version: u32,
    pub roles: Vec<Role>,
    pub rights: Vec<Right>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Role {
    pub name: String,
    pub login: bool,
    pub superuser: bool,
    /// bcrypt, as the cluster keeps it.
    pub hash: Option<String>,
    pub member_of: Vec<String>,
    /// Where the role may log in; everywhere when empty.
    pub datacentres: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Right {
    pub role: String,
    /// `data/keyspace/table`, `roles/name`, `functions/keyspace/name[types]`.
    pub resource: String,
    pub permissions: Vec<String>,
}

/// Names of the formats, and what they are for.
pub(super) const SCHEMA: &str = "cassandra-schema";
/// See [`SCHEMA`].
pub(super) const ROLES: &str = "cassandra-roles";

/// Largest document that is taken: 64 MiB hold the schema of some hundred thousand tables.
const LARGEST: usize = 64 << 20;

pub(super) fn encode(document: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(document).expect("documents are plain data");
    text.push(b'\n');
    text
}

/// Reads a document whose format and version must be these.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], format: &str) -> Result<T, CassandraError> {
    let bad = |why: String| CassandraError::Saved { what: format.to_owned(), why };
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    if value["format"] != format || value["version"] != 1 {
        return Err(bad(format!("its form is {} {}, and this program knows {format} 1", value["format"], value["version"])));
    }
    serde_json::from_value(value).map_err(|error| bad(error.to_string()))
}

/// Collects a document that is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Collector(Arc<Mutex<Vec<u8>>>);

impl Collector {
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().expect("no holder of this lock panics"))
    }
}

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().expect("no holder of this lock panics");
        if all.len() + bytes.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a document has more than 64 MiB"));
        }
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Which parts of a point go to the target, and under which names.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    pub select: Vec<String>,
    pub rename: BTreeMap<String, String>,
}

impl Choice {
    pub(super) fn keyspace(&self, name: &str) -> bool {
        self.select.is_empty()
            || self.select.iter().any(|wanted| wanted == name || wanted.split_once('.').is_some_and(|(keyspace, _)| keyspace == name))
    }

    pub(super) fn table(&self, keyspace: &str, table: &str) -> bool {
        self.select.is_empty() || self.select.iter().any(|wanted| wanted == keyspace || wanted.split_once('.') == Some((keyspace, table)))
    }

    /// A keyspace's name in the target.
    pub(super) fn renamed<'a>(&'a self, keyspace: &'a str) -> &'a str {
        self.rename.get(keyspace).map_or(keyspace, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_a_table_needs_its_keyspace_and_no_other_table() {
        let choice = Choice { select: vec!["a".into(), "b.t".into()], rename: BTreeMap::from([("b".into(), "c".into())]) };
        assert!(choice.keyspace("b") && choice.table("b", "t") && !choice.table("b", "u") && choice.table("a", "any") && !choice.keyspace("c"));
        assert_eq!((choice.renamed("a"), choice.renamed("b")), ("a", "c"));
    }
}
