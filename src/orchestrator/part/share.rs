//! A share of a component that several workers capture, and where shares begin: in the control store, the same for all of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{OrchestratorError, PartId, Place};
use crate::{
    backup::BackupError,
    model::Context,
    repository::layout,
    sources::{FilesOptions, Share, Tree, cut},
};

/// Which share of how many. That of number `n` is `n` parts after the first one of its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareId {
    /// Its number, from 0.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl Place {
    /// The stretch of a tree that a share is. Whoever comes first cuts the tree, for all.
    ///
    /// # Errors
    /// When the tree cannot be walked, the control store fails, or the run is stopped.
    pub async fn share(&self, part: &PartId, share: ShareId, tree: &FilesOptions, ctx: &Context) -> Result<Arc<Share>, OrchestratorError> {
        let first = PartId { number: part.number.saturating_sub(share.number), ..part.clone() };
        let cut = match self.cut(&first).await? {
            Some(cut) => cut,
            None => {
                let (tree, ctx) = (tree.clone(), ctx.clone());
                let cut =
                    tokio::task::spawn_blocking(move || cut(&Tree::open(&tree)?, share.of, &ctx)).await.map_err(|_| OrchestratorError::TornDown)?;
                self.set_cut(&first, &cut.map_err(BackupError::Source)?).await?;
                self.cut(&first).await?.ok_or(OrchestratorError::TornDown)?
            }
        };
        Ok(Arc::new(Share::new(&cut, share.number as usize)))
    }

    async fn cut(&self, first: &PartId) -> Result<Option<Vec<Vec<u8>>>, OrchestratorError> {
        let key = layout::part_cut(&first.run, &first.member, first.number);
        let Some(paths) = self.get_sealed::<Vec<String>>(&key, first).await? else { return Ok(None) };
        let bytes: Result<_, _> = paths.iter().map(hex::decode).collect();
        bytes.map(Some).map_err(|_| OrchestratorError::Foreign { key, why: "it is of an unknown form".to_owned() })
    }

    /// Cuts a tree, unless somebody has.
    async fn set_cut(&self, first: &PartId, cut: &[Vec<u8>]) -> Result<(), OrchestratorError> {
        let key = layout::part_cut(&first.run, &first.member, first.number);
        let paths: Vec<String> = cut.iter().map(hex::encode).collect();
        match self.put_sealed(&key, first, &paths).await {
            Err(OrchestratorError::LostRun { .. }) => Ok(()),
            put => put,
        }
    }
}
