//! The status as Prometheus metrics. Labels are policies of the configuration and closed sets, so their number is bounded.

mod care;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{
    condition::Kind,
    status::{Objective, Phase, PolicyStatus, Status},
};
use crate::{model::Seconds, repository::record::Depth};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPolicy {
    policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSlots {
    policy: String,
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    policy: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCondition {
    policy: String,
    condition: &'static str,
    severity: &'static str,
}

/// What a daemon knows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    /// Whether it leads.
    pub leads: bool,
    /// How long people have waited for the oldest notice that they are owed.
    pub waits: Seconds,
}

/// The text that Prometheus reads.
pub fn text(status: &Status, own: &Own) -> String {
    let mut registry = of_site(status);
    of_daemon(&mut registry, own);
    of_policies(&mut registry, status);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}

/// What is said after a run that no daemon made, and whether that made a complete point. What only a daemon knows is not in it.
pub fn of_run(status: &Status, succeeded: bool) -> String {
    let mut registry = of_site(status);
    of_points(&mut registry, status);
    let family = Family::<OfPolicy, Gauge<i64>>::default();
    for policy in &status.policies {
        family.get_or_create(&OfPolicy { policy: policy.policy.to_string() }).set(i64::from(succeeded));
    }
    registry.register("run_succeeded", "Whether the newest run that no daemon made made a complete point", family);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}

/// Everything carries the site, so that several can be told apart wherever they are seen together.
fn of_site(status: &Status) -> Registry {
    Registry::with_prefix_and_labels("hourglass".to_owned(), [("site".into(), status.site.to_string().into())].into_iter())
}

fn of_daemon(registry: &mut Registry, own: &Own) {
    let (leader, waits) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    leader.set(i64::from(own.leads));
    waits.set(own.waits.0 as i64);
    registry.register("leader", "Whether this daemon leads", leader);
    registry.register_with_unit("notice_waits", "How long people have waited for the oldest notice that they are owed", Unit::Seconds, waits);
}

fn of_policies(registry: &mut Registry, status: &Status) {
    of_points(registry, status);
    of_slots(registry, status);
    of_conditions(registry, status);
    care::register(registry, status);
}

fn of_points(registry: &mut Registry, status: &Status) {
    type OfOne = fn(&PolicyStatus) -> Option<i64>;
    let gauges: [(&str, &str, Option<Unit>, OfOne); 10] = [
        ("last_success_timestamp", "When the data of the newest good point was consistent", Some(Unit::Seconds), |policy| {
            policy.good.as_ref().map(|point| point.consistent_from.as_second())
        }),
        ("age", "Age of the newest good point", Some(Unit::Seconds), |policy| policy.age.map(|age| age.0 as i64)),
        ("rpo", "Largest age that the newest good point may have", Some(Unit::Seconds), |policy| policy.rpo.map(|rpo| rpo.0 as i64)),
        ("rpo_broken", "Whether the newest good point is too old, or there is none, or nobody knows", None, |policy| {
            (policy.objective != Objective::None).then_some(i64::from(policy.objective != Objective::Met))
        }),
        ("last_run_duration", "How long the run of the newest point took", Some(Unit::Seconds), |policy| {
            policy.newest.as_ref().map(|point| point.ended.duration_since(point.started).as_secs())
        }),
        ("last_read", "What the run of the newest point read", Some(Unit::Bytes), |policy| policy.newest.as_ref().map(|point| point.bytes.0 as i64)),
        ("last_stored", "What the run of the newest point stored anew", Some(Unit::Bytes), |policy| {
            policy.newest.as_ref().map(|point| point.stored.0 as i64)
        }),
        ("last_skew_milliseconds", "How far the members of the newest point lie apart", None, |policy| {
            policy.newest.as_ref().map(|point| point.skew_ms as i64)
        }),
        ("verified_depth", "How deep the newest good point that was verified with a key was: 3 restorable, 4 restored", None, |policy| {
            policy.verified.as_ref().map(|verified| depth(verified.depth))
        }),
        ("verified_age", "Age of the newest good point that was verified with a key", Some(Unit::Seconds), |policy| {
            policy.verified.as_ref().map(|verified| verified.age.0 as i64)
        }),
    ];
    for (name, help, unit, value) in gauges {
        let family = Family::<OfPolicy, Gauge<i64>>::default();
        for policy in &status.policies {
            if let Some(value) = value(policy) {
                family.get_or_create(&OfPolicy { policy: policy.policy.to_string() }).set(value);
            }
        }
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, family),
            None => registry.register(name, help, family),
        }
    }
}

fn of_slots(registry: &mut Registry, status: &Status) {
    let (slots, phases) = (Family::<OfSlots, Gauge<i64>>::default(), Family::<OfPhase, Gauge<i64>>::default());
    for status in &status.policies {
        let policy = status.policy.to_string();
        for (end, count) in status.slots.by_end() {
            slots.get_or_create(&OfSlots { policy: policy.clone(), end }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for phase in Phase::ALL {
            phases.get_or_create(&OfPhase { policy: policy.clone(), phase: phase.as_str() }).set(i64::from(phase == status.phase));
        }
    }
    registry.register("slots", "Slots by how they ended, as far back as the ledger is read", slots);
    registry.register("phase", "Whether the policy is in this phase", phases);
}

fn of_conditions(registry: &mut Registry, status: &Status) {
    let family = Family::<OfCondition, Gauge<i64>>::default();
    let names = status.policies.iter().map(|policy| policy.policy.to_string()).chain(status.tasks.iter().map(|task| task.task.to_string()));
    for policy in names {
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_of_site()) {
            let lasts = status.conditions.iter().any(|condition| condition.kind == kind && condition.subject == policy);
            let labels = OfCondition { policy: policy.clone(), condition: kind.as_str(), severity: kind.severity().as_str() };
            family.get_or_create(&labels).set(i64::from(lasts));
        }
    }
    registry.register("condition", "Whether something is wrong with the policy or the task", family);
}

fn depth(depth: Depth) -> i64 {
    match depth {
        Depth::Present => 1,
        Depth::Intact => 2,
        Depth::Restorable => 3,
        Depth::Restored => 4,
    }
}
