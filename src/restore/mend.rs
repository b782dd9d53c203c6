//! A file whose content came out different is written once more, slowly: from packs that were proved, hashed on the way out and on the way back. So a
//! forged copy at one location is passed over in favour of the next, and what is still different is either the repository's fault or the target's.

use std::sync::Arc;

use super::{
    RestoreError,
    content::Content,
    fetch::PackReader,
    walk::FrameWalk,
    window::{READ_BACK, write_run},
};
use crate::{
    model::{Problem, Sha256},
    repository::map::TreeLine,
    sources::{TreeEntry, TreeWriter},
};

/// Writes a file again. What is wrong with it still, if anything.
///
/// # Errors
/// When no location has a pack as the signed lists say, or the target cannot be written.
pub async fn mend(TreeLine { entry, runs }: TreeLine, packs: &PackReader, writer: &Arc<TreeWriter>) -> Result<Option<Problem>, RestoreError> {
    let slot = Arc::new(writer.begin_again(&entry)?);
    let mut sent = Content::new(&entry);
    let mut bytes = 0;
    for run in runs {
        let (frames, slot, at) = (packs.proved(run.pack).await?, Arc::clone(&slot), bytes);
        bytes += run.size;
        let work = move || write_run(&mut FrameWalk::new(&frames)?, &run, &slot, at, |part| sent.data(part)).map(|()| sent);
        sent = packs.pool.run(work).await??;
    }
    let writer = Arc::clone(writer);
    let work = move || {
        let (sent, mut kept) = (sent.finish()?, Content::new(&entry));
        kept.read_back(&slot, bytes, &mut vec![0; READ_BACK])?;
        let kept = kept.finish()?;
        writer.finish_file(&slot);
        Ok(verdict(&entry, sent, kept))
    };
    packs.pool.run(work).await?
}

/// What is wrong with a file of which the digests of what was sent to the target, and of what it kept, are known.
fn verdict(entry: &TreeEntry, sent: Sha256, kept: Sha256) -> Option<Problem> {
    let expected = entry.sha256.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
    let what = match entry.sha256 {
        Some(expected) if kept == expected => return None,
        _ if kept != sent => format!(
            "the target does not keep what is written to it: its content has the SHA-256 {kept}, and {sent} was written; the map says {expected}"
        ),
        _ => format!("its content has the SHA-256 {kept}, the map says {expected}; its packs are as they were signed"),
    };
    Some(Problem { subject: entry.display_path(), what })
}
