//! Facts to plan: which epoch the point goes to and why, and what is captured. Pure.

use std::time::Duration;

use jiff::{ToSpan, civil::DateTime, tz::TimeZone};

use crate::{
    config::{EpochChoice, EpochConfig, Keep},
    model::{Action, ByteCount, Class, EpochId, EpochMode, Lineage, MemberName, NewEpoch, Plan, RunId, Step, Timestamp, VaultId, step_id},
};

/// A new epoch is opened when the next point would read this much more than it uses, if it grows as the last one did.
pub const AMPLIFICATION_MAX: f64 = 1.4;
/// A new epoch is opened when the epoch stores this much more than the last point uses.
pub const EXCESS_MAX: f64 = 3.0;
/// Locked objects outlive what retention asks for by this: a point is kept until another takes its place.
const LOCK_MARGIN: Duration = Duration::from_secs(2 * 86_400);

/// An epoch that the run could use.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenEpoch {
    /// Its name.
    pub epoch: EpochId,
    /// When it was opened.
    pub opened: Timestamp,
    /// To what its packs are encrypted.
    pub vault: VaultId,
    /// Until when its objects are locked.
    pub retain_until: Option<Timestamp>,
    /// Bytes that its points have stored in it.
    pub stored: u64,
    /// Bytes that its last point needs, and uses; `None` when it has no point.
    pub last: Option<(u64, u64)>,
    /// By how many bytes that need grew from one point to the next, the last time that two points of one epoch followed each other.
    pub growth: u64,
}

/// Everything that the plan depends on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// The run that is planned.
    pub run: RunId,
    /// Whose point.
    pub lineage: Lineage,
    /// What to capture.
    pub members: Vec<MemberName>,
    /// Whether writers are paused until everything is captured.
    pub pauses: bool,
    /// Whether a member gains from sharing chunks with earlier points.
    pub is_shared: bool,
    /// What the policy says about epochs.
    pub epochs: EpochConfig,
    /// What the policy keeps.
    pub keep: Option<Keep>,
    /// Whether the store locks objects.
    pub locks: bool,
    /// The vault in force.
    pub vault: VaultId,
    /// Points that need less are left alone: there is nothing to win.
    pub small: ByteCount,
    /// The newest open rolling epoch.
    pub open: Option<OpenEpoch>,
    /// When complete points of this lineage were made, in any order.
    pub complete: Vec<Timestamp>,
}

/// Which epoch a point goes to, and why.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// An open one.
    Use(EpochId),
    /// A new one.
    Open(NewEpoch, &'static str),
}

/// Decides which epoch the point goes to.
pub fn choose_epoch(facts: &Facts) -> Choice {
    let sharing = match facts.epochs.mode {
        EpochChoice::Auto => facts.is_shared,
        EpochChoice::Rolling => true,
        EpochChoice::Single => false,
    };
    if let Some(class) = long_class(facts) {
        return Choice::Open(new_epoch(facts, EpochMode::Single, vec![class]), "it is the first of its week, month or year, and kept longer");
    }
    let short = vec![Class::Last, Class::Hourly, Class::Daily];
    if !sharing {
        return Choice::Open(new_epoch(facts, EpochMode::Single, short), "its points share nothing");
    }
    let open = |why| Choice::Open(new_epoch(facts, EpochMode::Rolling, short.clone()), why);
    let Some(epoch) = &facts.open else { return open("none is open") };
    let ratio = |a: u64, b: u64| a as f64 / (b.max(1)) as f64;
    let small = |needed: u64| needed < facts.small.0;
    match epoch.last {
        _ if epoch.vault != facts.vault => open("the vault was rotated"),
        _ if facts.now.duration_since(epoch.opened).unsigned_abs() > facts.epochs.max_age => open("the open one is too old"),
        _ if facts.locks && epoch.retain_until.is_none_or(|until| until < kept_until(facts, &short, Duration::ZERO)) => {
            open("the open one's lock would end too early")
        }
        Some((needed, live)) if !small(needed) && ratio(needed + epoch.growth, live) > AMPLIFICATION_MAX => open("restores would read too much"),
        Some((needed, live)) if !small(needed) && ratio(epoch.stored, live) > EXCESS_MAX => open("the open one stores too much that is not used"),
        _ => Choice::Use(epoch.epoch.clone()),
    }
}

/// The longest class above daily whose calendar slot has no complete point yet.
fn long_class(facts: &Facts) -> Option<Class> {
    let keep = facts.keep?;
    let wanted = [(keep.yearly, Class::Yearly), (keep.monthly, Class::Monthly), (keep.weekly, Class::Weekly)];
    let due = |class: Class| !facts.complete.iter().any(|at| slot(*at, class) == slot(facts.now, class));
    // The very first point begins the rolling epoch that the next ones share; the one after it is the first of its slot then.
    let short = keep.last + keep.hourly + keep.daily > 0;
    if short && facts.complete.is_empty() {
        return None;
    }
    wanted.into_iter().find(|(count, class)| *count > 0 && due(*class)).map(|(_, class)| class)
}

fn slot(at: Timestamp, class: Class) -> (i16, i16) {
    let date = DateTime::from(at.to_zoned(TimeZone::UTC)).date();
    match class {
        Class::Yearly => (date.year(), 0),
        Class::Monthly => (date.year(), i16::from(date.month())),
        _ => (date.iso_week_date().year(), i16::from(date.iso_week_date().week())),
    }
}

fn new_epoch(facts: &Facts, mode: EpochMode, classes: Vec<Class>) -> NewEpoch {
    // Its last point may come at the end of its life.
    let retain_until = facts.locks.then(|| kept_until(facts, &classes, facts.epochs.max_age + LOCK_MARGIN));
    NewEpoch { epoch: facts.run.clone().into(), mode, vault: facts.vault.clone(), classes, retain_until }
}

/// Until when a point of these classes, made `later` than now, is kept.
fn kept_until(facts: &Facts, classes: &[Class], later: Duration) -> Timestamp {
    let keep = facts.keep.unwrap_or_default();
    let days = |class: &Class| match class {
        Class::Last => 1,
        Class::Hourly => keep.hourly / 24 + 1,
        Class::Daily => keep.daily,
        Class::Weekly => 7 * keep.weekly,
        Class::Monthly => 31 * keep.monthly,
        Class::Yearly => 366 * keep.yearly,
    };
    let kept = classes.iter().map(days).max().unwrap_or(1);
    let hours = i64::from(kept) * 24 + i64::try_from(later.as_secs() / 3600).unwrap_or(i64::MAX / 2);
    facts.now.checked_add(hours.hours()).unwrap_or(Timestamp::MAX)
}

/// The plan of a backup.
pub fn plan(facts: &Facts) -> Plan {
    let lineage = &facts.lineage;
    let choice = choose_epoch(facts);
    let mut steps = Vec::new();
    let open_id = step_id(&["open-epoch"]);
    let (epoch, opens) = match choice {
        Choice::Use(epoch) => (epoch, Vec::new()),
        Choice::Open(new, why) => {
            let epoch = new.epoch.clone();
            let what = format!("open epoch {epoch}: {why}");
            let action = Action::OpenEpoch { lineage: lineage.clone(), new };
            steps.push(Step { id: open_id.clone(), needs: Vec::new(), after: Vec::new(), what, action });
            (epoch, vec![open_id])
        }
    };
    let opened = step_id(&["open"]);
    let action = Action::Open { members: facts.members.clone() };
    steps.push(Step { id: opened.clone(), needs: opens.clone(), after: Vec::new(), what: "open all members together".to_owned(), action });
    let mut captures = Vec::new();
    for member in &facts.members {
        let id = step_id(&["capture", member.as_str()]);
        captures.push(id.clone());
        let action = Action::Capture { member: member.clone(), lineage: lineage.clone(), epoch: epoch.clone() };
        steps.push(Step { id, needs: opens.clone(), after: vec![opened.clone()], what: format!("capture {member}"), action });
    }
    if facts.pauses {
        let id = step_id(&["resume-writers"]);
        let what = "let writers go on".to_owned();
        steps.push(Step { id: id.clone(), needs: Vec::new(), after: captures.clone(), what, action: Action::ResumeWriters });
        captures.push(id);
    }
    let action = Action::Commit { lineage: lineage.clone(), epoch };
    steps.push(Step { id: step_id(&["commit"]), needs: opens, after: captures, what: "write the manifest".to_owned(), action });
    Plan { run: facts.run.clone(), what: format!("back up {lineage}"), steps, accepted: None, recovery: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        Facts {
            now,
            run: RunId::new(now, 1),
            lineage: "p@we/1".parse().unwrap(),
            members: vec!["a".parse().unwrap()],
            pauses: false,
            is_shared: true,
            epochs: EpochConfig::default(),
            keep: None,
            locks: false,
            vault: "0123456789abcdef".parse().unwrap(),
            small: ByteCount(64 << 20),
            open: None,
            complete: Vec::new(),
        }
    }

    fn open(facts: &Facts) -> OpenEpoch {
        let opened = facts.now.checked_sub(24.hours()).unwrap();
        let epoch = RunId::new(opened, 2).into();
        OpenEpoch { epoch, opened, vault: facts.vault.clone(), retain_until: None, stored: 1 << 30, last: Some((1 << 30, 1 << 30)), growth: 0 }
    }

    fn reason(facts: &Facts) -> Option<&'static str> {
        match choose_epoch(facts) {
            Choice::Use(_) => None,
            Choice::Open(_, why) => Some(why),
        }
    }

    #[test]
    fn an_open_epoch_is_used_until_there_is_a_reason_not_to() {
        let mut facts = facts();
        assert_eq!(reason(&facts), Some("none is open"));
        facts.open = Some(open(&facts));
        assert_eq!(reason(&facts), None);
        let with = |change: fn(&mut OpenEpoch)| {
            let mut facts = facts.clone();
            change(facts.open.as_mut().unwrap());
            reason(&facts)
        };
        assert_eq!(with(|e| e.last = Some((15 << 27, 1 << 30))), Some("restores would read too much"));
        let grown = |growth| {
            let mut facts = facts.clone();
            let open = facts.open.as_mut().unwrap();
            (open.last, open.growth) = (Some((13 << 27, 10 << 27)), growth);
            reason(&facts)
        };
        assert_eq!((grown(1 << 27), grown((1 << 27) + 1)), (None, Some("restores would read too much")), "it grows on");
        assert_eq!(with(|e| e.last = Some((15 << 20, 1 << 20))), None, "small epochs are not worth it");
        assert_eq!(with(|e| e.stored = 4 << 30), Some("the open one stores too much that is not used"));
        assert_eq!(with(|e| e.vault = "ffffffffffffffff".parse().unwrap()), Some("the vault was rotated"));
        assert_eq!(with(|e| e.opened = "2026-01-01T00:00:00Z".parse().unwrap()), Some("the open one is too old"));
    }

    #[test]
    fn dumps_get_an_epoch_each_and_so_does_the_first_point_of_a_month() {
        let mut facts = facts();
        facts.open = Some(open(&facts));
        facts.is_shared = false;
        assert_eq!(reason(&facts), Some("its points share nothing"));
        facts.is_shared = true;
        facts.keep = Some(Keep { daily: 7, monthly: 3, ..Keep::default() });
        assert_eq!(reason(&facts), None, "the first point of all");
        facts.complete = vec!["2026-02-28T23:59:59Z".parse().unwrap()];
        assert!(reason(&facts).unwrap().contains("month"));
        facts.complete.push("2026-03-01T00:00:00Z".parse().unwrap());
        assert_eq!(reason(&facts), None);
    }

    #[test]
    fn a_lock_covers_the_life_of_the_epoch_and_what_is_kept_after_it() {
        let mut facts = facts();
        facts.locks = true;
        facts.keep = Some(Keep { hourly: 24, daily: 14, ..Keep::default() });
        let Choice::Open(new, _) = choose_epoch(&facts) else { panic!("none is open") };
        let days = new.retain_until.unwrap().duration_since(facts.now).as_secs() / 86_400;
        assert_eq!(days, 30 + 14 + 2);
        facts.open = Some(OpenEpoch { retain_until: new.retain_until, ..open(&facts) });
        assert_eq!(reason(&facts), None);
        for too_short in [None, Some(facts.now.checked_add(312.hours()).unwrap())] {
            facts.open.as_mut().unwrap().retain_until = too_short;
            assert_eq!(reason(&facts), Some("the open one's lock would end too early"));
        }
    }

    #[test]
    fn the_manifest_is_written_after_every_capture_however_it_ended() {
        let plan = plan(&facts());
        let commit = plan.steps.last().unwrap();
        assert_eq!(commit.after, [step_id(&["capture", "a"])]);
        assert_eq!(commit.needs, [step_id(&["open-epoch"])]);
    }
}
