//! A point that is ready to be restored: its manifest, its sealed part, and a reader of its packs.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use super::{
    RestoreError,
    fetch::{Location, PackReader},
};
use crate::{
    model::{ByteCount, Context, MemberName, ObjectKey, Sha256, outcome::explain},
    pipeline::{Budget, CpuPool, VaultIdentity, open, sha256},
    repository::{
        layout,
        packlist::{PackList, Positions},
        record::{Point, PointRef},
        sealed::{SealedComponent, SealedMember, SealedPoint},
        version_named,
    },
};

/// Most that a sealed part may unpack to.
const SEALED_PLAIN_MAX: usize = 1 << 30;

/// A point, opened.
#[derive(Debug)]
pub struct OpenedPoint {
    /// Which.
    pub point: PointRef,
    /// The public part of its manifest.
    pub manifest: Point,
    /// The private part.
    pub sealed: SealedPoint,
    /// Reads its packs.
    pub packs: PackReader,
}

/// Reads an object whose name is its digest from the first location that has it as it should be.
///
/// # Errors
/// When none has.
pub async fn fetch_named(locations: &[Location], key: &ObjectKey, digest: Sha256) -> Result<Bytes, RestoreError> {
    let mut tried = Vec::new();
    for location in locations {
        match location.store.get(key, None).await {
            Ok(bytes) if sha256(&bytes) == digest => return Ok(bytes),
            Ok(_) => tried.push(format!("{}: its bytes have another SHA-256 than its name", location.name)),
            Err(error) => tried.push(format!("{}: {}", location.name, explain(&error))),
        }
    }
    older_version(locations, key, digest).await.ok_or_else(|| RestoreError::Nowhere { key: key.clone(), tried: tried.join("; ") })
}

/// An object that is at no location as it should be may lie behind a delete marker, or under what was put over it.
pub async fn older_version(locations: &[Location], key: &ObjectKey, digest: Sha256) -> Option<Bytes> {
    for location in locations {
        match version_named(location.store.as_ref(), key, digest).await {
            Ok(None) => {}
            Ok(Some((version, bytes))) => {
                tracing::warn!(%key, location = location.name, version, "it is hidden or covered, and was read from an older version");
                return Some(bytes);
            }
            Err(error) => tracing::warn!(%key, location = location.name, %error, "its older versions cannot be read"),
        }
    }
    None
}

impl OpenedPoint {
    /// Opens a point whose manifest is known to be valid.
    ///
    /// # Errors
    /// When a part of it is at no location as it should be, or the vault's key does not open it.
    pub async fn open(
        point: PointRef,
        manifest: Point,
        vault: Arc<VaultIdentity>,
        locations: Vec<Location>,
        ctx: &Context,
    ) -> Result<OpenedPoint, RestoreError> {
        let lineage = point.id.lineage.clone();
        let sealed = fetch_named(&locations, &layout::sealed(&lineage, manifest.sealed), manifest.sealed).await?;
        let packed = open(vault.as_ref(), &sealed)?;
        let sealed = unpack(&packed)?;
        let sizes = pack_sizes(&point, &manifest, &locations).await?;
        let pool = CpuPool::new(ctx.limits.workers);
        let budget = Budget::new(ByteCount(ctx.limits.memory.0));
        let packs = PackReader::new(locations, lineage, manifest.epoch.clone(), vault, sizes, pool, budget);
        Ok(OpenedPoint { point, manifest, sealed, packs })
    }

    /// A member of the point.
    ///
    /// # Errors
    /// When it has none of that name.
    pub fn member(&self, name: &MemberName) -> Result<&SealedMember, RestoreError> {
        let found = self.sealed.members.iter().find(|member| member.name == *name);
        found.ok_or_else(|| RestoreError::Absent { what: "member", name: name.to_string() })
    }

    /// A component of a member.
    ///
    /// # Errors
    /// When it has none of that name.
    pub fn component(&self, member: &MemberName, name: &str) -> Result<&SealedComponent, RestoreError> {
        let found = self.member(member)?.components.iter().find(|component| component.name == name);
        found.ok_or_else(|| RestoreError::Absent { what: "component", name: name.to_owned() })
    }
}

fn unpack(packed: &[u8]) -> Result<SealedPoint, RestoreError> {
    let different = || RestoreError::Different { what: "the sealed part".to_owned() };
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| *size <= SEALED_PLAIN_MAX).ok_or_else(different)?;
    let plain = zstd::bulk::decompress(packed, size).map_err(|_| different())?;
    SealedPoint::parse(&plain).map_err(|source| RestoreError::Line { what: "the sealed part".to_owned(), source })
}

/// The sizes of all packs that a manifest names.
///
/// # Errors
/// When a list is at no location as it should be, or does not have a position that the manifest names.
pub async fn pack_sizes(point: &PointRef, manifest: &Point, locations: &[Location]) -> Result<HashMap<Sha256, u64>, RestoreError> {
    let mut sizes = HashMap::new();
    for list in &manifest.pack_lists {
        let key = layout::packlist(&point.id.lineage, &manifest.epoch, list.sha256);
        let bytes = fetch_named(locations, &key, list.sha256).await?;
        let what = || RestoreError::Different { what: format!("the pack list {}", list.sha256) };
        let parsed = PackList::parse(&bytes).map_err(|source| RestoreError::Line { what: "a pack list".to_owned(), source })?;
        let needed: Positions = list.needed.parse().map_err(|_| what())?;
        for position in needed.iter() {
            let pack = parsed.packs.get(position).ok_or_else(what)?;
            sizes.insert(pack.sha256, pack.size);
        }
    }
    Ok(sizes)
}
