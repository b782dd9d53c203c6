//! Tasks, what is not covered, and whether this site could take the service over. What nobody has looked at is never shown as if it were well.

use maud::{Markup, html};

use super::{span, time};
use crate::{
    daemon::{
        ledger::event::End,
        status::Status,
        tasks::{CoverageStatus, ReadStatus, ReadyStatus, TaskEnd},
    },
    model::{Seconds, Timestamp},
    orchestrator::coverage::State,
};

/// Things and questions that are named; more are counted.
const SHOWN: usize = 8;

/// What the daemon does besides making points.
pub fn tasks(status: &Status) -> Markup {
    html! {
        section {
            h2 { "Tasks" }
            @if status.tasks.is_empty() { p.none { "There are no tasks: nothing is copied, checked or given up by itself." } }
            @else {
                div.wide { table {
                    thead { tr { th { "task" } th { "does" } th { "now" } th { "next" } th { "last" } th { "why" } } }
                    tbody { @for task in &status.tasks {
                        tr {
                            td { b { (task.task) } }
                            td { (task.does) }
                            td { (task.phase.as_str()) }
                            td { (task.next.map_or("never".to_owned(), time)) }
                            td { @match &task.last { Some(last) => (end(last)), None => span.tag.none { "never" } } }
                            td.text { (task.last.as_ref().and_then(|last| last.why.as_deref()).unwrap_or_default()) }
                        }
                    } }
                } }
            }
            @for read in &status.reads { p.none { (read_at(read)) } }
        }
    }
}

fn end(last: &TaskEnd) -> Markup {
    let class = match last.end {
        End::Done => "good",
        End::Incomplete => "warn",
        End::Failed => "bad",
    };
    html! { span class={ "tag " (class) } { (last.end.as_str()) } " " (time(last.at)) }
}

fn read_at(read: &ReadStatus) -> String {
    match read.all_read_since {
        Some(since) => format!("{}: all that was there at {} has been read since.", read.location, time(since)),
        None => format!("{}: {} of 256 parts were never read by checks that read a part at a time.", read.location, read.never_read),
    }
}

/// What was found last of coverage and readiness.
pub fn findings(status: &Status) -> Markup {
    html! {
        div.two {
            section { h2 { "Coverage" } @match &status.coverage {
                Some(found) => (coverage(found, status.now)),
                None => p.none { "Not measured: whether everything that exists is in a policy." },
            } }
            section { h2 { "Readiness of this site" } @match &status.ready {
                Some(found) => (ready(found, status.now)),
                None => p.none { "Not measured: whether this site could take the service over." },
            } }
        }
    }
}

fn coverage(found: &CoverageStatus, now: Timestamp) -> Markup {
    let is_covered = found.lacking.is_empty();
    let lacking = found.lacking.iter().map(|thing| (format!("{}/{}/{}", thing.source, thing.kind, thing.name), &thing.why));
    html! {
        p { span class={ "tag " (if is_covered { "good" } else { "warn" }) } { (if is_covered { "nothing is left out unsaid" } else { "not covered" }) } }
        (answer(&found.sentence(), found.asked, now, lacking, found.count(State::Uncovered) + found.count(State::Unknown)))
    }
}

fn ready(found: &ReadyStatus, now: Timestamp) -> Markup {
    let met = format!("{} questions met, {} not", found.met, found.lacking.len());
    let lacking = found.lacking.iter().map(|check| (check.about.clone(), &check.what));
    html! {
        p { span class={ "tag " (if found.ready { "good" } else { "bad" }) } { (if found.ready { "ready" } else { "not ready" }) } }
        (answer(&met, found.asked, now, lacking, found.lacking.len()))
    }
}

fn answer<'a>(counts: &str, asked: Timestamp, now: Timestamp, lacking: impl Iterator<Item = (String, &'a String)>, of: usize) -> Markup {
    html! {
        dl {
            dt { "found" } dd { (counts) }
            dt { "asked" } dd { (span(Seconds::between(asked, now))) " ago" }
            @for (about, why) in lacking.take(SHOWN) { dt { "lacks" } dd { b { (about) } ": " (why) } }
            @if of > SHOWN { dt { "and" } dd { (of - SHOWN) " more" } }
        }
    }
}
