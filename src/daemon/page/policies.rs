//! Each policy in a card, and the runs that go on.

use maud::{Markup, html};

use super::{depth, span, time};
use crate::{
    daemon::{
        picture::Picture,
        status::{Objective, PolicyStatus},
    },
    model::Seconds,
};

/// The cards.
pub fn cards(picture: &Picture) -> Markup {
    html! { div.cards { @for policy in &picture.status.policies { (card(policy)) } } }
}

fn card(policy: &PolicyStatus) -> Markup {
    let (class, word) = match policy.objective {
        Objective::Met => ("good", "objective met"),
        Objective::Broken => ("bad", "objective broken"),
        Objective::None => ("none", "no objective"),
        Objective::Unknown => ("bad", "unknown"),
    };
    html! {
        section {
            div.card-head { h3 { (policy.policy) } span class={ "tag " (class) } { (word) } }
            p.age { (age(policy)) }
            @if let (Some(age), Some(rpo)) = (policy.age, policy.rpo) {
                progress class=(used(age, rpo)) max=(rpo.0) value=(age.0.min(rpo.0)) title={ "age " (span(age)) " of " (span(rpo)) } {}
            }
            dl {
                dt { "now" } dd { (policy.phase.as_str()) }
                dt { "next" } dd { (policy.next.map_or("never".to_owned(), time)) }
                @if let Some(paused) = &policy.paused { dt { "paused" } dd { "by " (paused.by) ": " (paused.reason) } }
                @if let Some(point) = &policy.good { dt { "point" } dd { code { (point.id) } ", " (point.bytes) } }
                dt { "verified" } dd { (verified(policy)) }
                @if let Some(head) = &policy.head { dt { "record" } dd { "entry " (head.number.0) } }
            }
        }
    }
}

fn age(policy: &PolicyStatus) -> Markup {
    match (policy.age, policy.rpo) {
        (Some(age), Some(rpo)) => html! { (span(age)) " " small { "old, " (span(rpo)) " allowed" } },
        (Some(age), None) => html! { (span(age)) " " small { "old" } },
        (None, _) if policy.objective == Objective::Unknown => html! { "?" " " small { "its record cannot be read" } },
        (None, _) => html! { "–" " " small { "no good point" } },
    }
}

fn used(age: Seconds, rpo: Seconds) -> &'static str {
    match age.0 {
        age if age > rpo.0 => "bad",
        age if age * 5 > rpo.0 * 4 => "warn",
        _ => "good",
    }
}

fn verified(policy: &PolicyStatus) -> Markup {
    match &policy.verified {
        Some(verified) => html! { (depth(verified.depth)) ", " (span(verified.age)) " old" },
        None => html! { span.tag.warn { "never" } },
    }
}

/// The runs that go on.
pub fn work(picture: &Picture) -> Markup {
    html! {
        section {
            h2 { "Running work" }
            @if picture.work.is_empty() { p.none { "No run goes on." } }
            @for work in &picture.work {
                div.card-head { b { (work.policy) } span { (work.done) " of " (work.steps) " steps, " (span(Seconds::between(work.began, picture.status.now))) } }
                progress max=(work.steps) value=(work.done) {}
                dl {
                    dt { "run" } dd { code { (work.run) } }
                    @for now in &work.now { dt { "now" } dd { (now) } }
                }
            }
        }
    }
}
