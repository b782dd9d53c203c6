//! `hourglass verify --within`: everything is listed, and a part is read, so that everything is read within a span of time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::json;

use super::{VerifyArgs, found, wanted};
use crate::{
    cli::{CliError, ExitCode, Globals, Report, repo::Repo},
    model::{EntryNumber, ObjectKey, Problem, RecoveryPointId, Timestamp, step_id},
    orchestrator::findings::{Findings, read_at},
    repository::{
        needs::{Fault, Need},
        presence::Inventory,
        record::Record,
        sample::{Sampling, bucket},
        verify::check_objects,
    },
    storage,
};

/// What all live points need, and what of it is wrong without being read; each with a point that needs it.
#[derive(Debug, Default)]
struct Everything {
    needs: BTreeMap<ObjectKey, (Need, RecoveryPointId)>,
    faults: Vec<(Fault, RecoveryPointId)>,
}

/// Runs it.
///
/// # Errors
/// Those of every check; the capture file, whose key protects what is known of earlier checks, cannot be read; the control store does not answer.
pub async fn run(args: &VerifyArgs, within: Duration, globals: &Globals) -> Result<Report, CliError> {
    let (repo, ctx) = (Repo::open(globals, &args.location).await.map_err(found)?, globals.context());
    let findings = Findings::new(storage::open(&repo.config.control).await?, &repo.capture_file()?);
    let now = ctx.clock.now();
    let known = findings.newest::<Sampling>(&read_at(&args.location)).await?.map(|finding| finding.found).filter(Sampling::is_sound);
    let state = known.unwrap_or_else(|| Sampling::begin(now));
    let due = state.due(SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX), now);
    let (records, mut problems, mut exit) = wanted(&repo, None, Some(&due)).await?;
    let mut all = Everything::default();
    for (record, points) in &records {
        all.add(&repo, record, points).await?;
    }
    let sampled: Vec<Need> = all.needs.values().map(|(need, _)| need).filter(|need| due.contains(&bucket(&need.key))).cloned().collect();
    let objects = sampled.len();
    let bytes: u64 = sampled.iter().filter_map(|need| need.size).map(|size| size.0).sum();
    let step = step_id(&["verify", &args.location]);
    let Some(read) = check_objects(Arc::clone(&repo.store).as_ref(), sampled, &step, &ctx).await? else {
        return Err(CliError::new(ExitCode::Cancelled, "cancelled", "the check was stopped; what was not looked at is not called read"));
    };
    for fault in read {
        let id = all.needs[&fault.key].1.clone();
        all.faults.push((fault, id));
    }
    let faulty: BTreeSet<u16> = all.faults.iter().map(|(fault, _)| bucket(&fault.key)).collect();
    if !all.faults.is_empty() {
        exit = ExitCode::Damaged;
    }
    problems.extend(
        all.faults
            .iter()
            .map(|(fault, id)| Problem { subject: format!("{} {}", args.location, fault.key), what: format!("{} (named by {id})", fault.wrong) }),
    );
    let state = state.after(&due, &faulty, now);
    findings.write(&read_at(&args.location), &state, ctx.clock.as_ref()).await?;
    let text = format!(
        "{} objects are there; {objects} of them were read ({} of 256 buckets, {bytes} bytes)\n{}\n",
        all.needs.len(),
        due.len(),
        sentence(&state)
    );
    let data = json!({"location": args.location, "within_seconds": within.as_secs(), "objects": all.needs.len(), "read": objects, "bytes": bytes,
        "buckets": due, "all_read_since": state.all_read_since(), "never_read": state.never_read()});
    Ok(Report::new(data, text).found(exit, problems))
}

/// What may be said of everything.
fn sentence(state: &Sampling) -> String {
    let shown = |at: Timestamp| at.strftime("%F %TZ").to_string();
    match state.all_read_since() {
        Some(since) => format!("everything that was there at {} has been read since", shown(since)),
        None => format!("{} of 256 buckets were never read; checks began at {}", state.never_read(), shown(state.began)),
    }
}

impl Everything {
    async fn add(&mut self, repo: &Repo, record: &Record, points: &[EntryNumber]) -> Result<(), CliError> {
        let mut inventory = Inventory::new(repo.store.as_ref());
        for number in points {
            let id = RecoveryPointId { lineage: record.lineage().clone(), number: *number };
            let faults = inventory.presence(record, *number).await?.faults;
            let wrong: BTreeSet<ObjectKey> = faults.iter().map(|fault| fault.key.clone()).collect();
            let known: BTreeSet<ObjectKey> = self.faults.iter().map(|(fault, _)| fault.key.clone()).collect();
            self.faults.extend(faults.into_iter().filter(|fault| !known.contains(&fault.key)).map(|fault| (fault, id.clone())));
            for need in inventory.needs(record, *number).await?.objects.into_iter().filter(|need| !wrong.contains(&need.key)) {
                self.needs.entry(need.key.clone()).or_insert((need, id.clone()));
            }
        }
        Ok(())
    }
}
