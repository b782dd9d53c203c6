//! What people want of a schedule: signed, numbered objects in the control store. Format: docs/format/ledger.md.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    DaemonError,
    ledger::event::{Happened, Wish},
};
use crate::{
    model::{Lineage, ObjectKey, Timestamp},
    repository::{
        keys::{PublicKey, SigningKey},
        layout,
        trust::{Role, TrustChain},
    },
    storage::{ErrorKind, ObjectStore, Put, PutOptions, StoreError, list_all},
};

/// How often others may take the number that an order was to have.
const MOST_RACES: usize = 100;

/// An order, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Version of the format: 1.
    pub format: u32,
    /// Whose schedule.
    pub lineage: Lineage,
    /// From 1, without gaps.
    pub number: u64,
    /// When it was written.
    pub written: Timestamp,
    /// Who gives it.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// What is wanted.
    pub what: Wish,
}

/// Writes an order under the next number, whatever number it has, and gives that.
///
/// # Errors
/// When the control store cannot be written.
pub async fn give(store: &dyn ObjectStore, key: &SigningKey, mut order: Order) -> Result<u64, DaemonError> {
    let listed = list_all(store, &layout::schedule_order_prefix(&order.lineage)).await?;
    order.number = listed.iter().filter_map(|object| layout::number(&object.key)).max().unwrap_or(0) + 1;
    for _ in 0..MOST_RACES {
        let name = layout::schedule_order(&order.lineage, order.number);
        let line = serde_json::to_string(&order).expect("an order is plain data") + "\n";
        let body = Bytes::from(line.clone() + &key.sign(&name, line.as_bytes()));
        let failed = |source: StoreError| DaemonError::Ledger { lineage: order.lineage.clone(), source };
        let put = store.put_new(&name, body.clone(), &PutOptions::of(&body)).await.map_err(failed)?;
        if put == Put::Created || store.get(&name, None).await.map_err(failed)? == body {
            return Ok(order.number);
        }
        order.number += 1;
    }
    Err(DaemonError::Contended { lineage: order.lineage })
}

/// The event that the order of this number is, if there is one.
///
/// # Errors
/// When the control store cannot be read.
pub async fn next(store: &dyn ObjectStore, trusts: &TrustChain, lineage: &Lineage, number: u64) -> Result<Option<Happened>, DaemonError> {
    let name = layout::schedule_order(lineage, number);
    let bytes = match store.get(&name, None).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DaemonError::Ledger { lineage: lineage.clone(), source }),
    };
    Ok(Some(match read(&bytes, &name, trusts, lineage, number) {
        Ok(order) => Happened::Ordered { number, what: Some(order.what), by: order.by, reason: order.reason, refused: None },
        Err(why) => Happened::Ordered { number, what: None, by: String::new(), reason: String::new(), refused: Some(why.to_owned()) },
    }))
}

fn read(bytes: &[u8], name: &ObjectKey, trusts: &TrustChain, lineage: &Lineage, number: u64) -> Result<Order, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let end = text.find('\n').ok_or("it has no signature")? + 1;
    let (line, signature) = text.split_at(end);
    let may = |role: Role, site: Option<&crate::model::SiteName>| role == Role::Operator || role == Role::Capture && site == Some(&lineage.site);
    let trust = trusts.in_force().ok_or("nobody is trusted")?;
    let mut signers = trust.signers.iter().filter(|signer| may(signer.role, signer.site.as_ref()));
    let is_revoked = |key: &PublicKey| trust.revoked.iter().any(|revoked| revoked.key == *key);
    if !signers.any(|signer| !is_revoked(&signer.key) && signer.key.verify(name, line.as_bytes(), signature).is_ok()) {
        return Err("nobody who may has signed it");
    }
    let order: Order = serde_json::from_str(line).map_err(|_| "it is of an unknown form")?;
    match order.format == layout::FORMAT && order.lineage == *lineage && order.number == number {
        true => Ok(order),
        false => Err("it is of another lineage or number"),
    }
}
