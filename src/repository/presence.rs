//! Whether a location has what a point needs: by listing, never by asking for one pack after the other.

use std::collections::{HashMap, HashSet};

use super::{
    RepositoryError, layout,
    needs::{Fault, Need, Needs, PackLists, Part, Wrong},
    record::{Point, Record},
};
use crate::{
    model::{ByteCount, EntryNumber, EpochId, Lineage, ObjectKey, VaultId},
    storage::{ObjectStore, list_all},
};

/// What one location has of one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// How many objects the point needs.
    pub objects: u64,
    /// The size of its packs.
    pub bytes: ByteCount,
    /// What is missing, has another size, or cannot be used.
    pub faults: Vec<Fault>,
}

impl Presence {
    /// Whether a restore finds everything here.
    pub fn is_complete(&self) -> bool {
        self.faults.iter().all(|fault| fault.part.is_for_writer())
    }

    /// Objects that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &ObjectKey> {
        self.faults.iter().filter(|fault| fault.wrong == Wrong::Missing).map(|fault| &fault.key)
    }
}

/// What a store listed, prefix by prefix, and each only once.
#[derive(Debug)]
pub struct Inventory<'a> {
    store: &'a dyn ObjectStore,
    sizes: HashMap<ObjectKey, ByteCount>,
    listed: HashSet<String>,
    lists: HashMap<(Lineage, EpochId), PackLists>,
    vaults: HashMap<VaultId, bool>,
}

impl<'a> Inventory<'a> {
    /// Of `store`, with nothing listed yet.
    pub fn new(store: &'a dyn ObjectStore) -> Inventory<'a> {
        Inventory { store, sizes: HashMap::new(), listed: HashSet::new(), lists: HashMap::new(), vaults: HashMap::new() }
    }

    /// Lists what lies under an epoch, and the sealed parts of its lineage.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&mut self, lineage: &Lineage, epoch: &EpochId) -> Result<(), RepositoryError> {
        for prefix in layout::epoch_prefixes(lineage, epoch).into_iter().chain([layout::sealed_prefix(lineage)]) {
            self.list_prefix(prefix).await?;
        }
        Ok(())
    }

    async fn list_prefix(&mut self, prefix: String) -> Result<(), RepositoryError> {
        if self.listed.insert(prefix.clone()) {
            self.sizes.extend(list_all(self.store, &prefix).await?.into_iter().map(|object| (object.key, object.size)));
        }
        Ok(())
    }

    /// The size of an object that was listed.
    pub fn size(&self, key: &ObjectKey) -> Option<ByteCount> {
        self.sizes.get(key).copied()
    }

    /// What a point of `record` needs, as the pack lists of this store say.
    ///
    /// # Errors
    /// `NoPoint`, when there is no such point; the store's.
    pub async fn needs(&mut self, record: &Record, number: EntryNumber) -> Result<Needs, RepositoryError> {
        let (lineage, state) = (record.lineage(), record.state());
        let none =
            || RepositoryError::NoPoint { lineage: lineage.clone(), selector: number.0.to_string(), why: "no valid entry of this number is a point" };
        let (_, point) = record.point(number).ok_or_else(none)?;
        let opened = state.epochs.get(&point.epoch).ok_or_else(none)?;
        let place = (lineage.clone(), point.epoch.clone());
        if !self.lists.contains_key(&place) {
            // The points of an epoch share most lists, and what is asked of one is soon asked of all.
            let points: Vec<&Point> = opened.points.iter().filter_map(|number| record.point(*number)).map(|(_, point)| point).collect();
            let lists = PackLists::load(self.store, lineage, &point.epoch, &points).await?;
            self.lists.insert(place.clone(), lists);
        }
        Ok(Needs::of(lineage, point, opened, &self.lists[&place], state.proven_vaults.get(&point.vault)))
    }

    /// A vault that nobody has proved, and of which no wrapping is here: nobody could open anything from here alone.
    async fn without_wrapping(&mut self, vault: &VaultId) -> Result<Option<Fault>, RepositoryError> {
        if !self.vaults.contains_key(vault) {
            self.list_prefix(layout::vault_prefix(vault)).await?;
            let any = self.sizes.keys().any(|key| key.as_str().starts_with(&layout::vault_prefix(vault)) && layout::number(key).is_some());
            self.vaults.insert(vault.clone(), any);
        }
        let missing = || Fault { key: layout::vault(vault, 1), part: Part::Vault, wrong: Wrong::Missing };
        Ok((!self.vaults[vault]).then(missing))
    }

    /// Compares what a point of `record` needs with what is listed.
    ///
    /// # Errors
    /// Those of [`Inventory::needs`].
    pub async fn presence(&mut self, record: &Record, number: EntryNumber) -> Result<Presence, RepositoryError> {
        let needs = self.needs(record, number).await?;
        let mut unopened = None;
        if let Some((_, point)) = record.point(number) {
            self.list(record.lineage(), &point.epoch).await?;
            unopened = self.without_wrapping(&point.vault).await?.filter(|_| !record.state().proven_vaults.contains_key(&point.vault));
        }
        let absent = |need: &Need| {
            let wrong = match (self.size(&need.key), need.size) {
                (None, _) => Wrong::Missing,
                (Some(found), Some(expected)) if found != expected => Wrong::Size { expected, found },
                _ => return None,
            };
            Some(Fault { key: need.key.clone(), part: need.part, wrong })
        };
        let mut faults: Vec<Fault> = needs.objects.iter().filter_map(absent).chain(unopened).collect();
        faults.extend(needs.unusable.into_iter().filter(|fault| fault.wrong != Wrong::Missing));
        let packs = needs.objects.iter().filter(|need| need.part == Part::Pack);
        Ok(Presence { objects: needs.objects.len() as u64, bytes: packs.filter_map(|need| need.size).sum(), faults })
    }
}

/// What `store` has of one point. For many points of one store keep an [`Inventory`].
///
/// # Errors
/// Those of [`Inventory::presence`].
pub async fn presence(store: &dyn ObjectStore, record: &Record, number: EntryNumber) -> Result<Presence, RepositoryError> {
    Inventory::new(store).presence(record, number).await
}
