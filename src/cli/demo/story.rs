//! The phases, in order. Each calls what the command of its name calls.

use std::{fs, io, path::Path, sync::Arc};

use serde_json::Value;

use super::{
    facts::{Backup, Facts, Lost, Member, Recovered},
    platform::Platform,
    regions::Regions,
    timeline::{Said, Timeline},
    witness::{Attributes, Witness},
};
use crate::{
    cli::{
        CliError, ExitCode, Globals, OutputFormat, Report, backup, copy, init, record,
        restore::{self, Choice, Wanted},
    },
    model::{ByteCount, Lineage, MemberName, Overwrite, PolicyName, RunId, Timestamp},
    orchestrator::{restore::run_restore, runs},
    restore::plan::{Request, plan},
    storage,
};

const POLICY: &str = "production";

/// The members of the platform, as folders, and what a restore brings back of each besides contents.
const MEMBERS: [(&str, Attributes); 3] = [("portal", Attributes::All), ("events", Attributes::All), ("kv", Attributes::None)];

/// Everything that the phases work with.
pub(super) struct Story {
    regions: Regions,
    platform: Platform,
    policy: PolicyName,
    lineage: Lineage,
    a: Globals,
    b: Globals,
    timeline: Arc<Timeline>,
    began: Timestamp,
}

impl Story {
    /// Nothing done yet but the folders below `root`.
    pub(super) fn new(root: &Path, size: ByteCount, globals: &Globals) -> Result<Story, CliError> {
        let ctx = globals.context();
        let verbose = globals.output == OutputFormat::Json;
        let timeline = Arc::new(Timeline::new(ctx.observer, globals.cancel.clone(), verbose));
        let regions = Regions::found(root).map_err(|error| CliError::file("making", root, &error))?;
        let of = |region: &super::regions::Region| Globals {
            config: Some(region.config()),
            observer: Some(Arc::clone(&timeline) as Arc<dyn crate::model::Observer>),
            ..globals.clone()
        };
        let policy: PolicyName = POLICY.parse().expect("a valid name");
        let site = regions.a.site.parse().expect("a valid name");
        let lineage = Lineage { policy: policy.clone(), site, generation: 1 };
        let platform = Platform { root: regions.a.data(), size };
        let (a, b) = (of(&regions.a), of(&regions.b));
        Ok(Story { regions, platform, policy, lineage, a, b, timeline, began: ctx.clock.now() })
    }

    /// Runs all phases.
    ///
    /// # Errors
    /// That of the first phase that did not end as it should.
    pub(super) async fn tell(&self) -> Result<Facts, CliError> {
        let phases = &self.timeline;
        let made = phases.phase("make an API platform in region A", self.make()).await?;
        let trust_root = phases.phase("init: keys, trust, vault, and the proof that it opens", self.init()).await?;
        let first = phases.phase("backup: the first recovery point", self.back_up()).await?;
        let changed = phases.phase("a day of changes", self.change()).await?;
        let second = phases.phase("backup: the second recovery point", self.back_up()).await?;
        let copied = phases.phase("copy: to the other region", self.copy()).await?;
        let before = phases.phase("an independent digest of every file", self.witness(&self.regions.a.data())).await?;
        fs::write(self.regions.safe.join("before.sha256"), before.sums())
            .map_err(|error| CliError::file("writing in", &self.regions.safe, &error))?;
        let (destroyed_at, lost) = phases.phase("DESTROY region A: data, store, journals, state, keys", self.destroy()).await?;
        let clock = phases.last().from;
        let recovered = phases.phase("restore: all members in region B", self.recover(&trust_root)).await?;
        let equal = phases.phase("compare with the digests from before", self.compare(&before)).await?;
        let clock = super::timeline::Span { from: clock, to: phases.last().to };
        let records = phases.phase("record check: signatures, chain, trust", self.check_records()).await?;
        let members = members(&first, &second, &recovered);
        let workers = self.b.context().limits.workers;
        let phases = phases.story();
        let began = self.began;
        Ok(Facts { began, workers, made, changed, first, second, copied, lost, destroyed_at, recovered, members, equal, records, clock, phases })
    }

    async fn make(&self) -> Result<(super::platform::Made, Said), CliError> {
        let platform = self.platform.clone();
        let made = blocking("making", &self.platform.root, move || platform.make()).await?;
        self.regions.write_a().map_err(|error| CliError::file("writing", &self.regions.a.config(), &error))?;
        Ok((made, said(made.bytes, format!("{} files, {}", made.files, made.bytes))))
    }

    async fn init(&self) -> Result<(String, Said), CliError> {
        let args = init::InitArgs { directory: None, site: self.lineage.site.clone(), keys_dir: Some(self.regions.safe.clone()), write: true };
        let data = good("init", init::run(args, &self.a).await?)?;
        let root = data["trust_root"].as_str().unwrap_or_default().to_owned();
        Ok((root, Said { bytes: None, result: "the keys that read backups lie in a safe, not in region A".to_owned() }))
    }

    async fn back_up(&self) -> Result<(Backup, Said), CliError> {
        let args = backup::BackupArgs { policy: self.policy.clone(), members: Vec::new(), dry_run: false };
        let data = good("backup", backup::run(args, &self.a).await?)?;
        let backup = Backup::from_report(&data).ok_or_else(|| lacking("backup"))?;
        let (content, stored) = (backup.content(), backup.stored());
        let result = format!("{} is complete: {content} protected, {stored} stored", backup.point);
        Ok((backup, said(content, result)))
    }

    async fn change(&self) -> Result<(super::platform::Made, Said), CliError> {
        let platform = self.platform.clone();
        let changed = blocking("changing", &self.platform.root, move || platform.change()).await?;
        let result = format!("{} files written, some of them in a small part", changed.files);
        Ok((changed, Said { bytes: None, result }))
    }

    async fn copy(&self) -> Result<(ByteCount, Said), CliError> {
        let args = copy::CopyArgs { points: Vec::new(), to: "other".to_owned(), from: crate::config::PRIMARY.to_owned() };
        let data = good("copy", copy::run(args, &self.a).await?)?;
        let points = data["lineages"].as_array().into_iter().flatten().filter_map(|lineage| lineage["points"].as_array()).flatten();
        let bytes = ByteCount(points.filter_map(|point| point["copied"]["bytes"].as_u64()).sum());
        Ok((bytes, said(bytes, format!("{bytes} of ciphertext, every object hashed on its way"))))
    }

    async fn witness(&self, root: &Path) -> Result<(Witness, Said), CliError> {
        let from = root.to_owned();
        let witness = blocking("reading", root, move || Witness::take(&from, &MEMBERS)).await?;
        let (files, bytes) = witness.files();
        Ok((witness, said(bytes, format!("SHA-256 of {files} files"))))
    }

    async fn destroy(&self) -> Result<((Timestamp, Lost), Said), CliError> {
        let (at, root) = (self.a.context().clock.now(), self.regions.a.root.clone());
        let lost = blocking("destroying", &self.regions.a.root, move || {
            let lost = Lost::measure(&root)?;
            fs::remove_dir_all(&root).map(|()| lost)
        })
        .await?;
        let result = format!("{} files with {} are gone", lost.files, lost.bytes);
        Ok(((at, lost), Said { bytes: None, result }))
    }

    async fn recover(&self, trust_root: &str) -> Result<(Recovered, Said), CliError> {
        let region = &self.regions.b;
        let folder = region.data().join("kv");
        let ready = self.regions.write_b(trust_root).and_then(|()| fs::create_dir_all(&folder));
        ready.map_err(|error| CliError::file("making", &region.root, &error))?;
        let (config, ctx) = (self.b.load_config()?, self.b.context());
        let choice = Choice::NewestOf(self.lineage.clone());
        let (repo, point, manifest) = restore::find(&config, &Wanted::new(&choice)).await?;
        let operator = repo.operator()?;
        let opened = restore::open(&repo, point.clone(), manifest.clone(), &operator, &ctx).await?;
        let target = |name: &MemberName| Ok((name.clone(), restore::own_target(&config, name)?));
        let members = opened.sealed.members.iter().map(|member| target(&member.name)).collect::<Result<Vec<_>, CliError>>()?;
        let request = Request { members, select: Vec::new(), overwrite: Overwrite::Refuse, accepted: None };
        let plan = plan(&RunId::new(ctx.clock.now(), runs::random()), &opened, &request)?;
        let control = storage::open(&config.control).await?;
        let (tools, started) = (restore::tools(&config, opened, &operator, control), ctx.clock.now());
        let end = run_restore(plan, tools, &ctx).await?;
        let recovered = Recovered::new(&point, &manifest, &end);
        let data = good("restore", restore::finish(&config, &operator, point, started, end, &ctx).await?)?;
        if data["entry"].is_null() {
            return Err(CliError::new(ExitCode::Incomplete, "record", "the restore was not entered in the record"));
        }
        let (bytes, packs) = (recovered.content(), recovered.packs);
        let result = format!("{}: {bytes} restored from {packs} of packs, found equal by the restore itself", recovered.point);
        Ok((recovered, said(bytes, result)))
    }

    async fn compare(&self, before: &Witness) -> Result<(super::facts::Equal, Said), CliError> {
        let (now, _) = self.witness(&self.regions.b.data()).await?;
        let differences = before.compare(&now);
        if !differences.is_empty() {
            let different = CliError::new(ExitCode::Damaged, "different", "what was restored is not what was there before");
            return Err(CliError { problems: differences, ..different });
        }
        let (files, bytes) = before.files();
        let entries = before.entries();
        let result = format!("EQUAL: {files} files and {} other entries", entries as u64 - files);
        Ok((super::facts::Equal { entries: entries as u64, files, bytes }, said(bytes, result)))
    }

    /// Both records, as region B has them.
    async fn check_records(&self) -> Result<(Vec<(String, u64)>, Said), CliError> {
        let own = Lineage { site: self.regions.b.site.parse().expect("a valid name"), ..self.lineage.clone() };
        let mut records = Vec::new();
        for lineage in [self.lineage.to_string(), own.to_string()] {
            let args = record::RecordArgs { command: record::RecordCommand::Check { policy: Some(lineage.clone()) } };
            let data = good("record check", record::run(args, &self.b).await?)?;
            let entries = data[0]["entries"].as_u64().ok_or_else(|| lacking("record check"))?;
            records.push((lineage, entries));
        }
        let result = records.iter().map(|(lineage, entries)| format!("{lineage} is good, entries: {entries}")).collect::<Vec<_>>().join("; ");
        Ok((records, Said { bytes: None, result }))
    }
}

fn members(first: &Backup, second: &Backup, recovered: &Recovered) -> Vec<Member> {
    let stored = |backup: &Backup, name: &str| backup.members.get(name).map_or(ByteCount(0), |member| member.stored);
    let one = |restored: &super::facts::RestoredMember| Member {
        first_stored: stored(first, &restored.name),
        second_stored: stored(second, &restored.name),
        restored: restored.clone(),
    };
    recovered.members.iter().map(one).collect()
}

fn said(bytes: ByteCount, result: String) -> Said {
    Said { bytes: Some(bytes), result }
}

/// The data of a report, if all went well.
fn good(what: &str, report: Report) -> Result<Value, CliError> {
    if report.exit == ExitCode::Succeeded {
        return Ok(report.data);
    }
    let ended = CliError::new(report.exit, "demo", format!("{what} ended {}", report.exit.outcome()));
    Err(CliError { problems: report.problems, ..ended })
}

fn lacking(what: &str) -> CliError {
    CliError::new(ExitCode::Failed, "internal", format!("the report of {what} does not say what it did"))
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(doing: &str, path: &Path, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, CliError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| CliError::from_error(ExitCode::Failed, "internal", &error))?;
    done.map_err(|error| CliError::file(doing, path, &error))
}
