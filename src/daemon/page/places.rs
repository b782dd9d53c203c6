//! Points and where they are; restores and recoveries.

use maud::{Markup, html};

use super::{span, time};
use crate::daemon::picture::{Picture, PointRow};

/// The newest points of each policy.
pub fn points(picture: &Picture) -> Markup {
    html! {
        section {
            h2 { "Points" }
            @for (name, why) in &picture.locations {
                @if let Some(why) = why { p { span.tag.bad { (name) " cannot be read" } " " (why) } }
            }
            @if picture.points.values().all(Vec::is_empty) { p.none { "There are no points." } }
            @for (policy, rows) in picture.points.iter().filter(|(_, rows)| !rows.is_empty()) {
                div.wide {
                    table {
                        caption { (policy) }
                        thead { tr {
                            th { "point" } th { "ended" } th { "state" } th.n { "read" } th { "verified" }
                            @for (name, _) in &picture.locations { th { "at " (name) } }
                        } }
                        tbody { @for row in rows { (line(row, picture)) } }
                    }
                }
            }
            p.none { "At a location: its manifest has arrived there. Whether all its objects have, " code { "hourglass points list" } " says." }
        }
    }
}

fn line(row: &PointRow, picture: &Picture) -> Markup {
    let class = if row.state.starts_with("good") { "good" } else { "warn" };
    html! {
        tr {
            td { code { (row.name.id) } }
            td { (time(row.ended)) }
            td { span class={ "tag " (class) } { (row.state) } }
            td.n { (row.bytes) }
            td { @match row.verified { Some(depth) => span.tag.good { (super::depth(depth)) }, None => span.tag.none { "never" } } }
            @for (name, why) in &picture.locations {
                td { @match (why, row.at.contains(name)) {
                    (Some(_), _) => "?",
                    (None, true) => span.tag.good { "there" },
                    (None, false) => span.tag.none { "not there" },
                } }
            }
        }
    }
}

/// The last restores and recoveries.
pub fn proofs(picture: &Picture) -> Markup {
    html! {
        section {
            h2 { "Last restores, recoveries and drills" }
            @if picture.proofs.is_empty() { p.none { "None yet: that anything comes back is not shown." } }
            @else {
                div.wide { table {
                    thead { tr { th { "ended" } th { "what" } th { "point" } th { "outcome" } th.n { "took" } } }
                    tbody { @for row in &picture.proofs {
                        @let well = ["succeeded", "restored and compared"].contains(&row.outcome);
                        tr {
                            td { (time(row.ended)) }
                            td.text { (row.what) }
                            td { @if let Some(point) = &row.point { code { (point) } } }
                            td { span class={ "tag " (if well { "good" } else { "warn" }) } { (row.outcome) } }
                            td.n { (row.took.map_or("–".to_owned(), span)) }
                        }
                    } }
                } }
            }
        }
    }
}
