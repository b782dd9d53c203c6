//! What was measured, and the short report of it.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::Serialize;
use serde_json::Value;

use super::{
    platform::Made,
    timeline::{Phase, Span},
};
use crate::{
    cli::output::table,
    model::{ByteCount, RecoveryPointId, Timestamp},
    orchestrator::{output::Output, restore::RestoreEnd},
    repository::record::{Point, PointRef},
};

/// Everything that the reports tell.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    pub began: Timestamp,
    pub workers: usize,
    pub made: Made,
    pub changed: Made,
    pub first: Backup,
    pub second: Backup,
    pub copied: ByteCount,
    pub lost: Lost,
    pub destroyed_at: Timestamp,
    pub recovered: Recovered,
    pub members: Vec<Member>,
    pub equal: Equal,
    /// Valid entries per record, as region B has them.
    pub records: Vec<(String, u64)>,
    /// From the first deleted file to the last compared one.
    pub clock: Span,
    pub phases: Vec<Phase>,
}

/// A backup, as its command reported it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Backup {
    pub point: String,
    pub members: BTreeMap<String, Captured>,
}

/// A member of a backup.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Captured {
    pub bytes: ByteCount,
    pub items: u64,
    pub stored: ByteCount,
}

/// What region A was.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Lost {
    pub files: u64,
    pub bytes: ByteCount,
}

/// What the restore brought back.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Recovered {
    pub point: RecoveryPointId,
    pub consistent_from: Timestamp,
    /// Packs that it is restored from.
    pub packs: ByteCount,
    pub members: Vec<RestoredMember>,
}

/// A member that was restored.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RestoredMember {
    pub name: String,
    /// Kind of its source.
    pub kind: String,
    /// The step that restored it.
    pub step: String,
    pub bytes: ByteCount,
    pub items: u64,
}

/// A member from end to end.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Member {
    pub first_stored: ByteCount,
    pub second_stored: ByteCount,
    #[serde(flatten)]
    pub restored: RestoredMember,
}

/// What the independent comparison looked at and found equal.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Equal {
    pub entries: u64,
    pub files: u64,
    pub bytes: ByteCount,
}

impl Backup {
    /// What the report of a backup says; `None` when it says something else.
    pub(super) fn from_report(data: &Value) -> Option<Backup> {
        let mut members = BTreeMap::new();
        for (step, output) in data["members"].as_object()? {
            let Ok(Output::Content { bytes, items, transferred }) = serde_json::from_value(output.clone()) else { return None };
            members.insert(step.rsplit('/').next()?.to_owned(), Captured { bytes, items, stored: transferred });
        }
        Some(Backup { point: data["point"].as_str()?.to_owned(), members })
    }

    pub(super) fn content(&self) -> ByteCount {
        self.members.values().map(|member| member.bytes).sum()
    }

    pub(super) fn stored(&self) -> ByteCount {
        self.members.values().map(|member| member.stored).sum()
    }
}

impl Lost {
    /// Counts all files below `root`.
    pub(super) fn measure(root: &Path) -> io::Result<Lost> {
        let (mut lost, mut waiting) = (Lost::default(), vec![root.to_owned()]);
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let found = entry.metadata()?;
                if found.is_dir() {
                    waiting.push(entry.path());
                } else {
                    lost.files += 1;
                    lost.bytes.0 += found.len();
                }
            }
        }
        Ok(lost)
    }
}

impl Recovered {
    pub(super) fn new(point: &PointRef, manifest: &Point, end: &RestoreEnd) -> Recovered {
        let consistent_from = manifest.consistent_from();
        let member = |(step, _, output): &(crate::model::StepId, crate::model::Outcome, Output)| {
            let Output::Restored { bytes, items, .. } = output else { return None };
            let name = step.as_str().split('/').nth(1)?.to_owned();
            let kind = manifest.members.iter().find(|member| member.name.as_str() == name)?.source.clone();
            Some(RestoredMember { name, kind, step: step.to_string(), bytes: *bytes, items: *items })
        };
        let members = end.steps.iter().filter_map(member).collect();
        Recovered { point: point.id.clone(), consistent_from, packs: manifest.needed_bytes, members }
    }

    pub(super) fn content(&self) -> ByteCount {
        self.members.iter().map(|member| member.bytes).sum()
    }
}

/// `bytes` in `seconds`, for people.
pub(super) fn rate(bytes: ByteCount, seconds: f64) -> String {
    match seconds > 0.0 {
        true => format!("{}/s", ByteCount((bytes.0 as f64 / seconds) as u64)),
        false => String::new(),
    }
}

impl Facts {
    /// Achieved recovery time in seconds.
    pub(super) fn rto(&self) -> f64 {
        self.clock.seconds()
    }

    /// Age of the recovered data when region A was lost, in seconds.
    pub(super) fn rpo(&self) -> f64 {
        self.destroyed_at.duration_since(self.recovered.consistent_from).as_secs_f64()
    }

    /// How much less the second backup stored than the first, in percent.
    pub(super) fn shared(&self) -> f64 {
        100.0 * (1.0 - self.second.stored().0 as f64 / self.first.stored().0.max(1) as f64)
    }

    /// All of it, in seconds.
    pub(super) fn total(&self) -> f64 {
        self.phases.last().map_or(0.0, |phase| phase.span.to.as_secs_f64())
    }

    /// How long a step of the restore took, in seconds.
    pub(super) fn restored_in(&self, step: &str) -> f64 {
        let bars = self.phases.iter().flat_map(|phase| &phase.steps);
        bars.filter(|bar| bar.step == step).map(|bar| bar.span.seconds()).sum()
    }

    /// The report for a terminal.
    pub(super) fn text(&self, report: &Path, kept: Option<&Path>) -> String {
        let rows = self.phases.iter().enumerate().map(|(i, phase)| {
            let rate = phase.bytes.map_or(String::new(), |bytes| rate(bytes, phase.span.seconds()));
            let bytes = phase.bytes.map_or(String::new(), |bytes| bytes.to_string());
            vec![(i + 1).to_string(), phase.name.to_owned(), format!("{:.2} s", phase.span.seconds()), bytes, rate]
        });
        let mut text = table(&["", "PHASE", "TIME", "BYTES", "RATE"], &rows.collect::<Vec<_>>());
        let (point, equal) = (&self.recovered.point, self.equal);
        text += &format!(
            "\nRegion A was destroyed at {} and stands again in region B, compared, {:.2} s later (RTO).\n",
            self.destroyed_at.strftime("%F %T UTC"),
            self.rto()
        );
        text += &format!("The recovery point {point} was {:.2} s old then (RPO).\n", self.rpo());
        text += &format!(
            "EQUAL: {} entries, {} in {} files, by two comparisons: the restore's own, and digests that were taken before by other means.\n",
            equal.entries, equal.bytes, equal.files
        );
        text += &format!(
            "The second backup stored {} for {} of content, where the first had stored {}: {:.1} % was saved by sharing.\n",
            self.second.stored(),
            self.second.content(),
            self.first.stored(),
            self.shared()
        );
        text += &format!("\nReport: {}\n", report.display());
        if let Some(kept) = kept {
            let (config, sums) = (kept.join("region-b/hourglass.yaml"), kept.join("safe/before.sha256"));
            text += &format!("Kept:   {}; look around, and check again with stock tools:\n", kept.display());
            text += &format!("  hourglass --config {} points tree {point} portal\n", config.display());
            text += &format!("  cd {} && sha256sum --check --quiet {}\n", kept.join("region-b/data").display(), sums.display());
        }
        text += "\nNow with your own data:\n";
        text + &NEXT.map(|(command, why)| format!("  {command:<56}  # {why}\n")).concat()
    }
}

/// What to do next.
pub(super) const NEXT: [(&str, &str); 3] = [
    ("hourglass config example directory > hourglass.yaml", "then say in it what to protect, and where"),
    ("hourglass init --write", "keys, trust, vault"),
    ("hourglass backup daily", "the first recovery point"),
];
