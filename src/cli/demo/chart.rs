//! The phases and their steps over time, as a drawing inside the page.

use std::fmt::Write;

use super::{facts::Facts, timeline::Span};
use crate::cli::page::escape;

const WIDTH: f64 = 1000.0;
/// Where time begins; names stand to the left of it.
const LEFT: f64 = 300.0;
const RIGHT: f64 = 970.0;
const TOP: f64 = 44.0;
const ROW: f64 = 24.0;
const SUB_ROW: f64 = 17.0;
/// As many ticks as are easy to read.
const TICKS_MAX: f64 = 9.0;

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
    let total = facts.total().max(0.01);
    let x = |seconds: f64| LEFT + (RIGHT - LEFT) * seconds / total;
    let height = TOP + rows.iter().map(|row| if row.class == "step" { SUB_ROW } else { ROW }).sum::<f64>() + 10.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Phases over time\">\n");
    clock(facts, &x, height, &mut svg);
    ticks(total, &x, height, &mut svg);
    let mut y = TOP;
    for row in rows {
        let is_step = row.class == "step";
        let (tall, thick) = if is_step { (SUB_ROW, 8.0) } else { (ROW, 14.0) };
        let (from, to) = (x(row.span.from.as_secs_f64()), x(row.span.to.as_secs_f64()));
        let wide = (to - from).max(1.5);
        let (middle, indent) = (y + tall / 2.0, if is_step { LEFT - 12.0 } else { 0.0 });
        let (anchor, weight) = if is_step { ("end", "sub") } else { ("start", "name") };
        draw(
            &mut svg,
            format_args!("<text class=\"{weight}\" x=\"{indent}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>", middle + 4.0, row.label),
        );
        let bar = format!("x=\"{from:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{thick}\" rx=\"2.5\"", middle - thick / 2.0);
        draw(&mut svg, format_args!("<rect class=\"{}\" {bar}><title>{}</title></rect>", row.class, row.title));
        let fits = from + wide + 48.0 < WIDTH;
        let (at, anchor) = if fits { (from + wide + 6.0, "start") } else { (from - 6.0, "end") };
        let seconds = row.span.seconds();
        draw(&mut svg, format_args!("<text class=\"time\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{seconds:.2} s</text>", middle + 4.0));
        y += tall;
    }
    svg + "</svg>\n"
}

fn draw(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a text takes whatever is written to it");
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

/// The time that counts, behind everything else.
fn clock(facts: &Facts, x: &impl Fn(f64) -> f64, height: f64, svg: &mut String) {
    let (from, to) = (x(facts.clock.from.as_secs_f64()), x(facts.clock.to.as_secs_f64()));
    let high = height - 22.0;
    draw(svg, format_args!("<rect class=\"clock\" x=\"{from:.1}\" y=\"16\" width=\"{:.1}\" height=\"{high:.1}\" rx=\"3\"/>", to - from));
    let label = format!("recovery: {:.2} s", facts.rto());
    draw(svg, format_args!("<text class=\"label\" x=\"{:.1}\" y=\"11\" text-anchor=\"middle\">{label}</text>", f64::midpoint(from, to)));
}

fn ticks(total: f64, x: &impl Fn(f64) -> f64, height: f64, svg: &mut String) {
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];
    let step = steps.into_iter().find(|step| total / step <= TICKS_MAX).unwrap_or(3600.0);
    let mut number = 0.0;
    while number * step <= total {
        let (at, seconds) = (x(number * step), number * step);
        draw(svg, format_args!("<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"36\" y2=\"{:.1}\"/>", height - 6.0));
        draw(svg, format_args!("<text class=\"time\" x=\"{at:.1}\" y=\"31\" text-anchor=\"middle\">{seconds} s</text>"));
        number += 1.0;
    }
}
