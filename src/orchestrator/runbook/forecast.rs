//! How long steps take together when each begins as soon as it may. Pure.

use std::collections::BTreeMap;

use crate::model::{Plan, Seconds, StepId};

/// A step, as far as time goes.
#[derive(Debug, Clone, Copy)]
pub struct Leg<'a> {
    /// Which.
    pub id: &'a StepId,
    /// What has to end before it begins.
    pub needs: &'a [StepId],
    /// How long it takes.
    pub takes: Seconds,
    /// It is not on the clock of the service.
    pub later: bool,
}

/// When steps begin and end, from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Begin and end of each step.
    pub spans: BTreeMap<StepId, (Seconds, Seconds)>,
    /// When everything that is not `later` is done.
    pub service: Seconds,
    /// When everything is done.
    pub full: Seconds,
    /// The steps that decide when the service is there, in order.
    pub critical: Vec<StepId>,
}

/// The forecast of steps, which come after those that they need.
pub fn forecast(legs: &[Leg<'_>]) -> Forecast {
    let mut spans: BTreeMap<StepId, (Seconds, Seconds)> = BTreeMap::new();
    for leg in legs {
        let begin = leg.needs.iter().filter_map(|need| spans.get(need)).map(|(_, end)| *end).max().unwrap_or_default();
        spans.insert(leg.id.clone(), (begin, Seconds(begin.0 + leg.takes.0)));
    }
    let last = |later: bool| legs.iter().filter(|leg| later || !leg.later).max_by_key(|leg| spans[leg.id].1);
    let end = |leg: Option<&Leg<'_>>| leg.map(|leg| spans[leg.id].1).unwrap_or_default();
    let (service, full) = (end(last(false)), end(last(true)));
    let (mut critical, mut next) = (Vec::new(), last(false));
    while let Some(leg) = next {
        critical.insert(0, leg.id.clone());
        let deciding = leg.needs.iter().max_by_key(|need| spans.get(*need).map(|(_, end)| *end));
        next = deciding.and_then(|need| legs.iter().find(|leg| leg.id == need));
    }
    Forecast { spans, service, full, critical }
}

/// The forecast of a plan whose steps take what `takes` says.
pub fn of_plan(plan: &Plan, takes: impl Fn(&StepId) -> Seconds) -> Forecast {
    let later = |id: &StepId| plan.recovery.as_ref().and_then(|recovery| recovery.terms.get(id)).is_some_and(|terms| terms.later);
    let legs: Vec<Leg<'_>> =
        plan.steps.iter().map(|step| Leg { id: &step.id, needs: &step.needs, takes: takes(&step.id), later: later(&step.id) }).collect();
    forecast(&legs)
}
