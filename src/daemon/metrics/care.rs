//! Tasks, coverage, and what was read when. Labels are tasks and locations of the configuration and closed sets. What was never asked has no value.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    daemon::status::{Phase, Status},
    orchestrator::coverage::State,
    repository::record::RecoveryOutcome,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    task: String,
    does: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTaskSlots {
    task: String,
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTaskPhase {
    task: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    kind: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPolicy {
    policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLocation {
    location: String,
}

pub(super) fn register(registry: &mut Registry, status: &Status) {
    tasks(registry, status);
    coverage(registry, status);
    ready(registry, status);
    reads(registry, status);
    recoveries(registry, status);
}

fn tasks(registry: &mut Registry, status: &Status) {
    let done = Family::<OfTask, Gauge<i64>>::default();
    let (slots, phases) = (Family::<OfTaskSlots, Gauge<i64>>::default(), Family::<OfTaskPhase, Gauge<i64>>::default());
    for one in &status.tasks {
        let task = one.task.to_string();
        if let Some(at) = one.done {
            done.get_or_create(&OfTask { task: task.clone(), does: one.does }).set(at.as_second());
        }
        for (end, count) in one.slots.by_end() {
            slots.get_or_create(&OfTaskSlots { task: task.clone(), end }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for phase in Phase::ALL {
            phases.get_or_create(&OfTaskPhase { task: task.clone(), phase: phase.as_str() }).set(i64::from(phase == one.phase));
        }
    }
    registry.register_with_unit("task_last_done_timestamp", "When the task was done last, as far back as the ledger is read", Unit::Seconds, done);
    registry.register("task_slots", "Slots of the task by how they ended, as far back as the ledger is read", slots);
    registry.register("task_phase", "Whether the task is in this phase", phases);
}

fn coverage(registry: &mut Registry, status: &Status) {
    let things = Family::<OfState, Gauge<i64>>::default();
    if let Some(coverage) = &status.coverage {
        for (kind, counts) in &coverage.counts {
            for (state, count) in State::ALL.iter().zip(counts) {
                things.get_or_create(&OfState { kind: kind.clone(), state: state.as_str() }).set(i64::try_from(*count).unwrap_or(i64::MAX));
            }
        }
        let asked = Gauge::<i64>::default();
        asked.set(coverage.asked.as_second());
        registry.register_with_unit("coverage_asked_timestamp", "When sources were asked last what exists", Unit::Seconds, asked);
    }
    registry.register("things", "What exists, by kind and by whether a policy covers it, as it was found last", things);
}

fn ready(registry: &mut Registry, status: &Status) {
    if let Some(found) = &status.ready {
        let (ready, lacking, asked) = (Gauge::<i64>::default(), Gauge::<i64>::default(), Gauge::<i64>::default());
        ready.set(i64::from(found.ready));
        lacking.set(i64::try_from(found.lacking.len()).unwrap_or(i64::MAX));
        asked.set(found.asked.as_second());
        registry.register("ready", "Whether this site could take the service over, as it was found last", ready);
        registry.register("ready_lacking", "Questions about that without the answer that they have to have", lacking);
        registry.register_with_unit("ready_asked_timestamp", "When that was asked last", Unit::Seconds, asked);
    }
}

fn reads(registry: &mut Registry, status: &Status) {
    let (since, never) = (Family::<OfLocation, Gauge<i64>>::default(), Family::<OfLocation, Gauge<i64>>::default());
    for read in &status.reads {
        let location = OfLocation { location: read.location.clone() };
        if let Some(at) = read.all_read_since {
            since.get_or_create(&location).set(at.as_second());
        }
        never.get_or_create(&location).set(i64::try_from(read.never_read).unwrap_or(i64::MAX));
    }
    let help = "Everything that was there then has been read since by checks that read a part at a time";
    registry.register_with_unit("all_read_since_timestamp", help, Unit::Seconds, since);
    registry.register("never_read_buckets", "Of 256 parts, how many those checks have never read", never);
}

fn recoveries(registry: &mut Registry, status: &Status) {
    let gauges = || (Family::<OfPolicy, Gauge<i64>>::default(), Family::<OfPolicy, Gauge<i64>>::default());
    let ((declared, service), (full, succeeded)) = (gauges(), gauges());
    for recovery in &status.recoveries {
        let policy = OfPolicy { policy: recovery.policy.to_string() };
        declared.get_or_create(&policy).set(recovery.declared.as_second());
        succeeded.get_or_create(&policy).set(i64::from(recovery.outcome == RecoveryOutcome::Succeeded));
        for (gauge, took) in [(&service, recovery.service), (&full, recovery.full)] {
            if let Some(took) = took {
                gauge.get_or_create(&policy).set(took.0 as i64);
            }
        }
    }
    registry.register_with_unit("recovery_declared_timestamp", "When the clock of the last recovery or drill started", Unit::Seconds, declared);
    registry.register_with_unit("recovery_service", "How long the last recovery or drill took until the service was there", Unit::Seconds, service);
    registry.register_with_unit("recovery_full", "How long the last recovery or drill took until everything was", Unit::Seconds, full);
    registry.register("recovery_succeeded", "Whether the last recovery or drill succeeded", succeeded);
}
