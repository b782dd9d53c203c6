//! The phases and their steps over time, as a drawing inside the page.

use super::{facts::Facts, timeline::Span};
use crate::cli::{
    chart::{Axis, Chart, TOP},
    page::escape,
};

/// Where time begins; names stand to the left of it.
const LEFT: f64 = 300.0;
const ROW: f64 = 24.0;
const SUB_ROW: f64 = 17.0;

/// A row of the drawing.
struct Row {
    label: String,
    span: Span,
    title: String,
    class: &'static str,
}

/// The drawing.
pub(super) fn gantt(facts: &Facts) -> String {
    let rows = rows(facts);
    let tall = |row: &Row| if row.class == "step" { SUB_ROW } else { ROW };
    let mut chart = Chart::new("Phases over time", Axis { left: LEFT, right: 970.0, total: facts.total() }, rows.iter().map(tall).sum());
    // The time that counts, behind everything else.
    chart.span("clock", (facts.clock.from.as_secs_f64(), facts.clock.to.as_secs_f64()), &format!("recovery: {:.2} s", facts.rto()));
    chart.ticks(|seconds| format!("{seconds} s"));
    let mut y = TOP;
    for row in rows {
        let (tall, middle) = (tall(&row), y + tall(&row) / 2.0);
        let span = (row.span.from.as_secs_f64(), row.span.to.as_secs_f64());
        let thick = if row.class == "step" {
            chart.text("sub", "end", (LEFT - 12.0, middle + 4.0), &row.label);
            8.0
        } else {
            chart.text("name", "start", (0.0, middle + 4.0), &row.label);
            14.0
        };
        let end = chart.bar(row.class, span, (middle, thick), &row.title);
        chart.length((span.0, end), middle, &format!("{:.2} s", row.span.seconds()));
        y += tall;
    }
    chart.finish()
}

fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (i, phase) in facts.phases.iter().enumerate() {
        let class = match phase.span {
            span if span.to <= facts.clock.from => "before",
            span if span.from == facts.clock.from => "disaster",
            span if span.to <= facts.clock.to => "recovery",
            _ => "after",
        };
        let label = format!("<tspan class=\"number\">{}</tspan>  {}", i + 1, escape(short(phase.name)));
        rows.push(Row { label, span: phase.span, title: escape(&phase.result), class });
        // Only what moves content; opening epochs and the like take no visible time.
        let moves = |step: &str| step.starts_with("capture/") || step.starts_with("restore/");
        for bar in phase.steps.iter().filter(|bar| moves(&bar.step)) {
            let name = bar.step.split('/').nth(1).unwrap_or(&bar.step);
            rows.push(Row { label: escape(name), span: bar.span, title: escape(&bar.what), class: "step" });
        }
    }
    rows
}

/// What stands before the colon is enough beside a bar.
fn short(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
