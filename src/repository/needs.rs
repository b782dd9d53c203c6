//! Which objects a point needs: its manifest names the pack lists, these name the packs.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    RepositoryError,
    fetch::read,
    layout,
    packlist::{PackList, Positions},
    record::{Epoch, Point, Wrapping},
};
use crate::{
    model::{ByteCount, EpochId, Lineage, ObjectKey, Sha256},
    pipeline::sha256,
    storage::ObjectStore,
};

/// Pack lists that are fetched at a time.
const FETCHES: usize = 16;

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A pack.
    Pack,
    /// A list of packs.
    PackList,
    /// The private part of a manifest.
    Sealed,
    /// A wrapping of the vault's private key.
    Vault,
    /// The key that names an epoch's chunks, for whoever holds the vault.
    EpochKey,
    /// For the writer alone.
    Index,
    /// For the writer alone.
    Hints,
}

impl Part {
    /// Whether a restore does without it: losing it costs time, never data.
    pub fn is_for_writer(self) -> bool {
        matches!(self, Part::EpochKey | Part::Index | Part::Hints)
    }
}

/// An object that a point needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Its key.
    pub key: ObjectKey,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size, when a signed list gives it.
    pub size: Option<ByteCount>,
    /// What it is for.
    pub part: Part,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is not there.
    #[error("it is missing")]
    Missing,
    /// It is longer or shorter than its list says.
    #[error("it has {found} bytes instead of {expected}", found = found.0, expected = expected.0)]
    Size {
        /// As the list says.
        expected: ByteCount,
        /// As the store says.
        found: ByteCount,
    },
    /// Its bytes are not those that its name, or a proof, promises.
    #[error("its bytes have another SHA-256 than they should")]
    Digest,
    /// Its bytes are those that were signed, and still say something that cannot be.
    #[error("{0}")]
    Content(&'static str),
}

/// An object that is not as a point needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub key: ObjectKey,
    /// What it is for.
    pub part: Part,
    /// What is wrong.
    pub wrong: Wrong,
}

/// The pack lists of one epoch that were read from one store, each once.
#[derive(Debug, Default)]
pub struct PackLists(HashMap<Sha256, Result<PackList, Wrong>>);

impl PackLists {
    /// Reads all lists that `points`, of one epoch, name.
    ///
    /// # Errors
    /// The store's. A list that is missing or damaged is remembered as such.
    pub async fn load(store: &dyn ObjectStore, lineage: &Lineage, epoch: &EpochId, points: &[&Point]) -> Result<PackLists, RepositoryError> {
        let named: HashSet<Sha256> = points.iter().flat_map(|point| &point.pack_lists).map(|list| list.sha256).collect();
        let fetches = named.into_iter().map(|digest| async move {
            let bytes = read(store, &layout::packlist(lineage, epoch, digest)).await?;
            let list = match bytes {
                None => Err(Wrong::Missing),
                Some(bytes) if sha256(&bytes) != digest => Err(Wrong::Digest),
                Some(bytes) => PackList::parse(&bytes).map_err(|_| Wrong::Content("it is not a pack list of a known format")),
            };
            Ok::<_, RepositoryError>((digest, list))
        });
        Ok(PackLists(stream::iter(fetches).buffer_unordered(FETCHES).try_collect().await?))
    }

    /// The packs that `point` needs of the list, or what is wrong with the list.
    fn packs(&self, digest: Sha256, needed: &str) -> Result<Vec<(Sha256, u64)>, Wrong> {
        let list = self.0.get(&digest).ok_or(Wrong::Missing)?.as_ref().map_err(Wrong::clone)?;
        let positions: Positions = needed.parse().map_err(|_| Wrong::Content("the manifest's positions in it cannot be read"))?;
        let at = |position: usize| list.packs.get(position).map(|pack| (pack.sha256, pack.size));
        positions.iter().map(at).collect::<Option<_>>().ok_or(Wrong::Content("the manifest names positions behind its end"))
    }
}

/// Everything that a point needs besides record and trust.
#[derive(Debug, Default)]
pub struct Needs {
    /// The objects; packs first, each once.
    pub objects: Vec<Need>,
    /// Pack lists that cannot be used, so that their packs are unknown.
    pub unusable: Vec<Fault>,
}

impl Needs {
    /// What `point` needs; `lists` were loaded for its epoch, which `opened` describes; its vault was last opened through `proven`.
    pub fn of(lineage: &Lineage, point: &Point, opened: &Epoch, lists: &PackLists, proven: Option<&Wrapping>) -> Needs {
        let epoch = &point.epoch;
        let named = |part, key, sha256| Need { key, sha256, size: None, part };
        let mut needs = Needs::default();
        let mut seen = HashSet::new();
        for list in &point.pack_lists {
            let key = layout::packlist(lineage, epoch, list.sha256);
            match lists.packs(list.sha256, &list.needed) {
                Ok(packs) => needs.objects.extend(packs.into_iter().filter(|(pack, _)| seen.insert(*pack)).map(|(pack, size)| Need {
                    key: layout::pack(lineage, epoch, pack),
                    sha256: pack,
                    size: Some(ByteCount(size)),
                    part: Part::Pack,
                })),
                Err(wrong) => needs.unusable.push(Fault { key, part: Part::PackList, wrong }),
            }
        }
        let lists = point.pack_lists.iter().map(|list| named(Part::PackList, layout::packlist(lineage, epoch, list.sha256), list.sha256));
        let sealed = [(Part::EpochKey, opened.open.sealed), (Part::Sealed, point.sealed)];
        let sealed = sealed.map(|(part, digest)| named(part, layout::sealed(lineage, digest), digest));
        let index = point.index.iter().map(|digest| named(Part::Index, layout::index(lineage, epoch, *digest), *digest));
        let hints = point.hints.iter().map(|digest| named(Part::Hints, layout::hints(lineage, epoch, *digest), *digest));
        let vault = proven.map(|Wrapping { number, sha256, size }| Need {
            key: layout::vault(&point.vault, *number),
            sha256: *sha256,
            size: Some(*size),
            part: Part::Vault,
        });
        needs.objects.extend(lists.chain(sealed).chain(index).chain(hints).chain(vault).filter(|need| seen.insert(need.sha256)));
        needs
    }
}
