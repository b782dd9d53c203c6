//! What a location lists of a record, and what is found at what is listed.

use super::{copies::Copies, entry::MAX_ENTRY};
use crate::{
    model::{ByteCount, EntryNumber, Lineage, Timestamp},
    repository::{
        fetch::{Stored, current},
        layout,
    },
    storage::{Listed, ObjectStore, StoreError, list_each},
};

/// An object of a record, as it is listed.
#[derive(Debug, Clone, Copy)]
pub struct Numbered {
    /// The number in its key.
    pub number: EntryNumber,
    /// Its length.
    pub size: ByteCount,
    /// When it was stored, by the store's clock.
    pub modified: Timestamp,
}

/// What the listing led to.
pub(super) enum Shown {
    Object(Stored),
    /// What it was when it was read before.
    Copy(Stored),
    TooLarge,
}

/// Everything that is listed, by ascending number.
pub(super) async fn numbers(store: &dyn ObjectStore, lineage: &Lineage) -> Result<Vec<Numbered>, StoreError> {
    let mut found = Vec::new();
    list_each(store, &layout::record_prefix(lineage), |Listed { key, size, modified }| {
        let number = layout::number(&key).map(EntryNumber);
        // Another key may end in a number too, and is nothing of the record.
        let number = number.filter(|number| key == layout::record(lineage, *number));
        found.extend(number.map(|number| Numbered { number, size, modified }));
    })
    .await?;
    found.sort_unstable_by_key(|numbered| numbered.number);
    Ok(found)
}

/// What is at a number that was listed; nothing when it is gone again.
pub(super) async fn find(
    store: &dyn ObjectStore,
    lineage: &Lineage,
    copies: &Copies,
    listed: Numbered,
) -> Result<(Numbered, Option<Shown>), StoreError> {
    let shown = match copies.find(lineage, &listed) {
        _ if listed.size > MAX_ENTRY => Some(Shown::TooLarge),
        Some(copy) => Some(Shown::Copy(copy)),
        None => current(store, &layout::record(lineage, listed.number), |sha256| layout::signature(lineage, sha256)).await?.map(Shown::Object),
    };
    Ok((listed, shown))
}
