//! The status as Prometheus metrics. Labels are policies of the configuration and closed sets, so their number is bounded.

mod care;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::status::{Objective, Phase, PolicyStatus, Status};
use crate::repository::record::Depth;

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

/// The text that Prometheus reads. `leads` is whether this very daemon does.
pub fn text(status: &Status, leads: bool) -> String {
    let mut registry = Registry::with_prefix("hourglass");
    let leader = Gauge::<i64>::default();
    leader.set(i64::from(leads));
    registry.register("leader", "Whether this daemon leads", leader);
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
    let (slots, phases) = (Family::<OfSlots, Gauge<i64>>::default(), Family::<OfPhase, Gauge<i64>>::default());
    for status in &status.policies {
        let policy = status.policy.to_string();
        let counts = [
            ("done", status.slots.done),
            ("incomplete", status.slots.incomplete),
            ("failed", status.slots.failed),
            ("missed", status.slots.missed),
            ("caught-up", status.slots.caught_up),
        ];
        for (end, count) in counts {
            slots.get_or_create(&OfSlots { policy: policy.clone(), end }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for phase in Phase::ALL {
            phases.get_or_create(&OfPhase { policy: policy.clone(), phase: phase.as_str() }).set(i64::from(phase == status.phase));
        }
    }
    registry.register("slots", "Slots by how they ended, as far back as the ledger is read", slots);
    registry.register("phase", "Whether the policy is in this phase", phases);
    care::register(&mut registry, status);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}

fn depth(depth: Depth) -> i64 {
    match depth {
        Depth::Present => 1,
        Depth::Intact => 2,
        Depth::Restorable => 3,
        Depth::Restored => 4,
    }
}
