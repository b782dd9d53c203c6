//! The steps of a backup, one function each. Safe to run twice: what is stored already is found.

use std::sync::Arc;

use super::{
    BackupError,
    capture::capture,
    captured::MemberCapture,
    job::{BackupJob, Captured},
    mirror::standing_rules,
};
use crate::{
    model::{ByteCount, Context, EntryNumber, EpochId, Event, MemberName, NewEpoch, Outcome, StepId},
    pipeline::{VaultRecipient, seal, sha256},
    repository::{
        RepositoryError, layout,
        record::{Body, EpochOpen, Writer, append},
        sealed::SealedEpoch,
    },
    sources::SourceErrorKind,
    storage::PutOptions,
};

/// Opens an epoch in the record, with its chunk-id key sealed to the vault.
///
/// # Errors
/// When the repository cannot be written.
pub async fn open_epoch(job: &BackupJob, new: &NewEpoch, ctx: &Context) -> Result<EntryNumber, BackupError> {
    let mut record = job.record.lock().await;
    if let Some(epoch) = record.state().epochs.get(&new.epoch) {
        return Ok(epoch.opened);
    }
    let unknown = || RepositoryError::UnknownVault { vault: new.vault.clone() };
    let vault: VaultRecipient = record.trusts().vault(&new.vault).ok_or_else(unknown)?.recipient.parse()?;
    let secret = SealedEpoch { chunk_key: hex::encode(job.keys.lineage_chunk_key(&job.lineage).expose()) };
    let plain = serde_json::to_vec(&secret).expect("a sealed epoch is plain data");
    let sealed = seal(&[&vault], &plain)?;
    let digest = sha256(&sealed);
    let key = layout::sealed(&job.lineage, digest);
    let options = PutOptions { sha256: digest, retain_until: new.retain_until };
    let _there_or_new = job.store.put_new(&key, sealed, &options).await.map_err(|source| BackupError::Put { key, source })?;
    let NewEpoch { epoch, mode, vault, classes, retain_until } = new.clone();
    let writer = Writer { store: job.store.as_ref(), key: &job.keys.signing_key, clock: ctx.clock.as_ref(), retain_until };
    let body = Body::EpochOpen(EpochOpen { epoch, mode, vault, classes, retain_until, sealed: digest });
    Ok(append(&writer, &mut record, body).await?.number)
}

/// What a captured member amounts to.
#[derive(Debug)]
pub struct CaptureEnd {
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes of content.
    pub bytes: ByteCount,
    /// Entries, and one per stream.
    pub items: u64,
    /// Bytes put into the store.
    pub stored: ByteCount,
}

/// Captures a member. Failure is noted for the manifest: the other members go on.
///
/// # Errors
/// When the member could not be captured, or the run is stopped.
pub async fn capture_member(job: &BackupJob, name: &MemberName, epoch: &EpochId, step: StepId, ctx: &Context) -> Result<CaptureEnd, BackupError> {
    conclude(job, name, try_capture(job, name, epoch, step, ctx).await)
}

/// Notes for the manifest what came of a capture.
///
/// # Errors
/// The one that it failed with.
pub fn conclude(job: &BackupJob, name: &MemberName, captured: Result<MemberCapture, BackupError>) -> Result<CaptureEnd, BackupError> {
    match captured {
        Ok(member) => {
            let stored = member.new_packs.iter().map(|pack| ByteCount(pack.size)).sum();
            let end = CaptureEnd { outcome: member.outcome.clone(), bytes: ByteCount(member.bytes), items: member.items, stored };
            job.ended(name, Captured::Read(Box::new(member)));
            Ok(end)
        }
        Err(error) => {
            job.ended(name, Captured::Not(ended_by(name, &error)));
            Err(error)
        }
    }
}

async fn try_capture(job: &BackupJob, name: &MemberName, epoch: &EpochId, step: StepId, ctx: &Context) -> Result<MemberCapture, BackupError> {
    let opened = job.take_opened(name)?;
    let member = job.member(name).ok_or_else(|| BackupError::NoMember(name.clone()))?.clone();
    let to = job.destination(epoch, ctx).await?;
    let mut captured = capture(name, Arc::clone(&member.source), opened, member.description, to, step, ctx).await?;
    if let Some(place) = &member.objects {
        for note in standing_rules(place).await {
            ctx.observer.event(&Event::Note { text: format!("{name}: {}: {}", note.subject, note.what) });
            captured.sealed.notes.push(note);
        }
    }
    Ok(captured)
}

fn ended_by(name: &MemberName, error: &BackupError) -> Outcome {
    let cancelled = match error {
        BackupError::Cancelled => true,
        BackupError::Source(error) => error.kind() == SourceErrorKind::Cancelled,
        _ => false,
    };
    match cancelled {
        true => Outcome::Cancelled { reason: "the run was stopped".to_owned() },
        false => {
            Outcome::Failed { problem: crate::model::Problem { subject: name.to_string(), what: crate::model::outcome::advise(error, error.hint()) } }
        }
    }
}
