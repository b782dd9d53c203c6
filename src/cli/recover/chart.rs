//! The hour as a drawing: every attempt at every step over time, with the objective.

use super::facts::Facts;
use crate::{
    cli::{
        chart::{Axis, Chart, TOP},
        page::escape,
    },
    model::{Outcome, Seconds, Timestamp},
};

const ROW: f64 = 22.0;
const BAR: f64 = 13.0;
/// Marks that are nearer to each other than this share of the drawing share a name.
const APART: f64 = 0.12;

/// The drawing.
pub(super) fn gantt(facts: &Facts) -> String {
    let seconds = |at: Timestamp| at.duration_since(facts.clocks.declared).as_secs_f64().max(0.0);
    let last = facts.attempts.iter().map(|bar| seconds(bar.ended)).fold(1.0, f64::max);
    let objective = facts.clocks.service_objective.0 as f64;
    // The objective is drawn when it is near; far away it would squeeze everything else.
    let near = objective <= last * 3.0;
    let total = if near { last.max(objective) } else { last } * 1.02;
    let mut chart = Chart::new("Steps over time", Axis { left: 230.0, right: 940.0, total }, ROW * facts.steps.len() as f64);
    chart.ticks(|at| Seconds(at as u64));
    for (i, step) in facts.steps.iter().enumerate() {
        let middle = TOP + ROW * (i as f64 + 0.5);
        chart.text(if step.later { "sub" } else { "name" }, "start", (0.0, middle + 4.0), &escape(step.id.as_str()));
        let (mut first, mut end) = (0.0, chart.x(0.0));
        for bar in facts.attempts.iter().filter(|bar| bar.step == step.id) {
            let class = match &bar.outcome {
                Some(Outcome::Succeeded) if step.later => "after",
                Some(Outcome::Succeeded) => "recovery",
                Some(_) => "disaster",
                None => "step",
            };
            first = seconds(bar.began);
            end = chart.bar(class, (first, seconds(bar.ended)), (middle, BAR), &escape(&step.title));
        }
        if let Some(took) = step.took {
            chart.length((first, end), middle, &took.to_string());
        }
    }
    let green = facts.clocks.service_green.map(seconds);
    if near && green.is_none_or(|green| (green - objective).abs() > total * APART) {
        chart.mark(objective, &format!("objective {}", facts.clocks.service_objective));
    }
    if let Some(green) = green {
        chart.mark(green, "service green");
    }
    chart.finish()
}
