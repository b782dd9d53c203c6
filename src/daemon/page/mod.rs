//! The page: everything about a site at a glance, as HTML without scripts and without anything from outside.

mod calendar;
mod care;
mod places;
mod policies;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{picture::Picture, status::Status};
use crate::{
    config::Severity,
    model::{Seconds, Timestamp},
    pipeline::sha256,
    repository::record::Depth,
};

/// The style sheet, which stands in the page.
const STYLE: &str = include_str!("style.css");
/// How often a browser asks again, in seconds.
const AGAIN: u32 = 30;

/// The header that lets a browser load nothing, run nothing, send nothing and be framed by nobody; only this page's own style counts.
pub fn policy_of_content() -> String {
    use base64::Engine;
    let digest = base64::engine::general_purpose::STANDARD.encode(sha256(STYLE.as_bytes()).0);
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
}

/// The page as text.
pub fn render(picture: &Picture) -> String {
    let status = &picture.status;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content=(AGAIN);
                title { (verdict(status).1) " · Hourglass " (status.site) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Hourglass " (status.site) }
                    p { (time(status.now)) }
                    p { (leader(status)) }
                }
                (summary(status))
                (policies::cards(picture))
                (policies::work(picture))
                (calendar::calendar(status))
                (places::points(picture))
                (places::proofs(picture))
                (care::tasks(status))
                (care::findings(status))
                footer { "Read only. The same as data: " code { "/status.json" } ", " code { "/metrics" } "." }
            }
        }
    };
    page.into_string()
}

fn verdict(status: &Status) -> (&'static str, String) {
    let count = |severity| status.conditions.iter().filter(|condition| condition.severity == severity).count();
    let things = |count: usize| if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") };
    match (count(Severity::Critical), count(Severity::Warning)) {
        (0, 0) if status.policies.is_empty() => ("warn", "There are no policies".to_owned()),
        (0, 0) => ("good", "Nothing that was looked at is wrong".to_owned()),
        (0, warnings) => ("warn", format!("{} to be looked at", things(warnings))),
        (critical, _) => ("bad", format!("{} wrong", things(critical))),
    }
}

fn summary(status: &Status) -> Markup {
    let (class, text) = verdict(status);
    html! {
        section class={ "verdict " (class) } { (text) }
        @if !status.conditions.is_empty() {
            section {
                h2 { "Conditions that last" }
                ul.conditions {
                    @for condition in &status.conditions {
                        li {
                            span class={ "tag " (class_of(condition.severity)) } { (condition.severity.as_str()) }
                            span { b { (condition.subject) } ": " (condition.text) }
                        }
                    }
                }
            }
        }
    }
}

fn class_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "bad",
        Severity::Warning => "warn",
        Severity::Note => "note",
    }
}

fn leader(status: &Status) -> String {
    match &status.leader {
        Some(leader) => format!("process {} of {} leads", leader.pid, leader.machine),
        None => "no daemon leads".to_owned(),
    }
}

fn depth(depth: Depth) -> &'static str {
    match depth {
        Depth::Present => "present",
        Depth::Intact => "intact",
        Depth::Restorable => "restorable",
        Depth::Restored => "restored",
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%F %H:%M:%S UTC").to_string()
}

/// `2 d 3 h`, `3 h 12 min`, `12 min`, `45 s`: as exact as people look.
fn span(seconds: Seconds) -> String {
    let (days, hours, minutes) = (seconds.0 / 86_400, seconds.0 / 3600 % 24, seconds.0 / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", seconds.0),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests;
