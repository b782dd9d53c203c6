//! What drawings of time in reports share: an axis with ticks, bars, marks.

use std::fmt::{Arguments, Display, Write};

const WIDTH: f64 = 1000.0;
/// Above it stand marks and ticks.
pub(super) const TOP: f64 = 44.0;
/// As many ticks as are easy to read.
const TICKS_MAX: f64 = 10.0;
/// Distances of ticks, in seconds.
const DISTANCES: [f64; 14] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0];

/// A drawing of bars over time.
#[derive(Debug)]
pub(super) struct Chart {
    svg: String,
    left: f64,
    right: f64,
    total: f64,
    height: f64,
}

/// Where time is, from left to right, and how much of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Where it begins; names stand to the left of it.
    pub left: f64,
    /// Where it ends; lengths of the last bars stand to the right of it.
    pub right: f64,
    /// Seconds.
    pub total: f64,
}

impl Chart {
    /// An empty drawing whose bars need `rows` of height in all.
    pub fn new(about: &str, axis: Axis, rows: f64) -> Chart {
        let height = TOP + rows + 12.0;
        let svg = format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{about}\">\n");
        Chart { svg, left: axis.left, right: axis.right, total: axis.total.max(DISTANCES[0]), height }
    }

    /// Where a second is.
    pub fn x(&self, seconds: f64) -> f64 {
        self.left + (self.right - self.left) * seconds / self.total
    }

    fn draw(&mut self, element: Arguments<'_>) {
        writeln!(self.svg, "{element}").expect("a text takes whatever is written to it");
    }

    /// Lines over the whole height with their times.
    pub fn ticks<T: Display>(&mut self, name: impl Fn(f64) -> T) {
        let distance = DISTANCES.into_iter().find(|distance| self.total / distance <= TICKS_MAX).unwrap_or(86_400.0);
        let mut number = 0.0;
        while number * distance <= self.total {
            let (at, bottom) = (self.x(number * distance), self.height - 6.0);
            self.draw(format_args!("<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"36\" y2=\"{bottom:.1}\"/>"));
            self.text("time", "middle", (at, 31.0), &name(number * distance).to_string());
            number += 1.0;
        }
    }

    /// A text, HTML, with its class and anchor.
    pub fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
        self.draw(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    /// A span of time around the height `middle`, and where it ends.
    pub fn bar(&mut self, class: &str, (from, to): (f64, f64), (middle, thick): (f64, f64), title: &str) -> f64 {
        let (from, to) = (self.x(from), self.x(to));
        let wide = (to - from).max(1.5);
        let place = format!("x=\"{from:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{thick}\" rx=\"2.5\"", middle - thick / 2.0);
        self.draw(format_args!("<rect class=\"{class}\" {place}><title>{title}</title></rect>"));
        from + wide
    }

    /// How long a bar is, beside its end, or before its beginning when there is no room.
    pub fn length(&mut self, (from, end): (f64, f64), middle: f64, length: &str) {
        let fits = end + 48.0 < WIDTH;
        let (at, anchor) = if fits { (end + 6.0, "start") } else { (self.x(from) - 6.0, "end") };
        self.text("time", anchor, (at, middle + 4.0), length);
    }

    /// A span behind everything, with a name.
    pub fn span(&mut self, class: &str, (from, to): (f64, f64), name: &str) {
        let (from, to) = (self.x(from), self.x(to));
        let high = self.height - 22.0;
        self.draw(format_args!("<rect class=\"{class}\" x=\"{from:.1}\" y=\"16\" width=\"{:.1}\" height=\"{high:.1}\" rx=\"3\"/>", to - from));
        self.text("label", "middle", (f64::midpoint(from, to), 11.0), name);
    }

    /// A moment, with a name at its head.
    pub fn mark(&mut self, seconds: f64, name: &str) {
        let (at, bottom) = (self.x(seconds), self.height - 6.0);
        self.draw(format_args!("<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"16\" y2=\"{bottom:.1}\"/>"));
        self.text("label", "middle", (at, 11.0), name);
    }

    /// The drawing.
    pub fn finish(self) -> String {
        self.svg + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_few_ticks_whatever_the_time() {
        for total in [0.0, 0.3, 7.0, 59.0, 3600.0, 90_000.0] {
            let mut chart = Chart::new("a test", Axis { left: 100.0, right: 900.0, total }, 10.0);
            chart.ticks(|seconds| seconds);
            let ticks = chart.finish().matches("class=\"tick\"").count();
            assert!((2..=11).contains(&ticks), "{total}: {ticks}");
        }
    }
}
