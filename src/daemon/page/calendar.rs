//! How slots ended, day by day.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::time;
use crate::daemon::{
    slot::{SlotEnd, SlotStatus},
    status::{PolicyStatus, Status},
};

/// Days that are shown of each policy.
const MOST_DAYS: usize = 14;

/// The calendar; days are UTC.
pub fn calendar(status: &Status) -> Markup {
    html! {
        section {
            h2 { "Slots" }
            @if status.policies.iter().all(|policy| policy.recent.is_empty()) { p.none { "No slot is over yet." } }
            @for policy in status.policies.iter().filter(|policy| !policy.recent.is_empty()) {
                div.calendar {
                    h3 { (policy.policy) }
                    @for (day, slots) in days(policy).into_iter().rev().take(MOST_DAYS) {
                        div.day { (day) }
                        div.slots { @for slot in slots { (square(slot)) } }
                    }
                }
            }
            p.key {
                @for end in [SlotEnd::Done, SlotEnd::Incomplete, SlotEnd::Failed, SlotEnd::Missed, SlotEnd::CaughtUp] {
                    span { span class={ "slot " (end.as_str()) } {} (end.as_str().replace('-', " ")) }
                }
            }
        }
    }
}

fn days(policy: &PolicyStatus) -> BTreeMap<String, Vec<&SlotStatus>> {
    let mut days: BTreeMap<String, Vec<&SlotStatus>> = BTreeMap::new();
    for slot in &policy.recent {
        days.entry(slot.last.strftime("%F").to_string()).or_default().push(slot);
    }
    days
}

fn square(slot: &SlotStatus) -> Markup {
    let why = slot.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    let title = match slot.count {
        1 => format!("{} {}{why}", time(slot.first), slot.end.as_str()),
        count => format!("{count} slots from {} to {} {}{why}", time(slot.first), time(slot.last), slot.end.as_str()),
    };
    html! {
        @if slot.count > 1 { span class={ "slot many " (slot.end.as_str()) } title=(title) { (slot.count) } }
        @else { span class={ "slot " (slot.end.as_str()) } title=(title) {} }
    }
}
