//! The hour as a drawing: every attempt at every step over time, with the objective.

use std::fmt::Write;

use super::facts::Facts;
use crate::{
    cli::page::escape,
    model::{Outcome, Seconds, Timestamp},
};

const WIDTH: f64 = 1000.0;
/// Where time begins; names stand to the left of it.
const LEFT: f64 = 230.0;
const RIGHT: f64 = 940.0;
const TOP: f64 = 44.0;
const ROW: f64 = 22.0;
const BAR: f64 = 13.0;
/// As many ticks as are easy to read.
const TICKS_MAX: u64 = 10;

/// The drawing.
pub(super) fn gantt(facts: &Facts) -> String {
    let seconds = |at: Timestamp| at.duration_since(facts.clocks.declared).as_secs_f64().max(0.0);
    let last = facts.attempts.iter().map(|bar| seconds(bar.ended)).fold(1.0, f64::max);
    let objective = facts.clocks.service_objective.0 as f64;
    // The objective is drawn when it is near; far away it would squeeze everything else.
    let near = objective <= last * 3.0;
    let total = if near { last.max(objective) } else { last } * 1.02;
    let x = |seconds: f64| LEFT + (RIGHT - LEFT) * seconds / total;
    let height = TOP + ROW * facts.steps.len() as f64 + 12.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"Steps over time\">\n");
    ticks(total, &x, height, &mut svg);
    for (i, step) in facts.steps.iter().enumerate() {
        let middle = TOP + ROW * (i as f64 + 0.5);
        let (later, id) = (if step.later { "sub" } else { "name" }, escape(step.id.as_str()));
        line(&mut svg, format_args!("<text class=\"{later}\" x=\"0\" y=\"{:.1}\">{id}</text>", middle + 4.0));
        let mut end = LEFT;
        for bar in facts.attempts.iter().filter(|bar| bar.step == step.id) {
            let (from, to) = (x(seconds(bar.began)), x(seconds(bar.ended)));
            let class = match &bar.outcome {
                Some(Outcome::Succeeded) if step.later => "after",
                Some(Outcome::Succeeded) => "recovery",
                Some(_) => "disaster",
                None => "step",
            };
            end = to.max(from + 1.5);
            let place = format!("x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2.5\"", middle - BAR / 2.0, end - from);
            line(&mut svg, format_args!("<rect class=\"{class}\" {place}><title>{}</title></rect>", escape(&step.title)));
        }
        if let Some(took) = step.took {
            line(&mut svg, format_args!("<text class=\"time\" x=\"{:.1}\" y=\"{:.1}\">{took}</text>", end + 6.0, middle + 4.0));
        }
    }
    if near {
        mark(&mut svg, x(objective), height, &format!("objective {}", facts.clocks.service_objective));
    }
    if let Some(green) = facts.clocks.service_green {
        mark(&mut svg, x(seconds(green)), height, "service green");
    }
    svg + "</svg>\n"
}

fn line(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a text takes whatever is written to it");
}

fn mark(svg: &mut String, at: f64, height: f64, what: &str) {
    line(svg, format_args!("<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"16\" y2=\"{:.1}\"/>", height - 6.0));
    line(svg, format_args!("<text class=\"label\" x=\"{at:.1}\" y=\"11\" text-anchor=\"middle\">{what}</text>"));
}

fn ticks(total: f64, x: &impl Fn(f64) -> f64, height: f64, svg: &mut String) {
    let steps = [1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 14_400];
    let step = steps.into_iter().find(|step| total as u64 / step <= TICKS_MAX).unwrap_or(86_400);
    for at in (0..=total as u64).step_by(step as usize) {
        let place = x(at as f64);
        line(svg, format_args!("<line class=\"tick\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"36\" y2=\"{:.1}\"/>", height - 6.0));
        line(svg, format_args!("<text class=\"time\" x=\"{place:.1}\" y=\"31\" text-anchor=\"middle\">{}</text>", Seconds(at)));
    }
}
