//! The digest: how everything is, in words, with the heads of all records for whoever keeps them elsewhere.

use super::book::Page;
use crate::daemon::status::{Objective, PolicyStatus, Status};

/// The text of a digest.
pub fn text(status: &Status, page: &Page) -> String {
    let mut text = format!("Site {} on {}\n\n", status.site, status.now.strftime("%F %T UTC"));
    text += &match page.open.as_slice() {
        [] => "Nothing is wrong.\n".to_owned(),
        open => {
            let lines = open
                .iter()
                .map(|open| format!("- {}: {} (since {})\n", open.condition.subject, open.condition.text, open.since.strftime("%F %T UTC")));
            format!("What is wrong:\n{}", lines.collect::<String>())
        }
    };
    text += "\nPolicies:\n";
    text += &status.policies.iter().map(policy).collect::<String>();
    text += "\nWhere the records end. Keep this: a record that was cut or rewritten later does not hold these entries.\n";
    for policy in &status.policies {
        text += &match &policy.head {
            Some(head) => format!("- {} entry {} sha256 {}\n", policy.lineage, head.number.0, head.sha256),
            None => format!("- {} has no entry\n", policy.lineage),
        };
    }
    if page.dropped > 0 {
        let s = if page.dropped == 1 { "" } else { "s" };
        text += &format!("\n{} notice{s} before this one could not be sent for a day and will not be.\n", page.dropped);
    }
    text
}

fn policy(policy: &PolicyStatus) -> String {
    let objective = match (policy.objective, policy.age) {
        (Objective::Met, _) => "keeps its objective",
        (Objective::Broken, _) => "BREAKS its objective",
        (Objective::None, _) => "has no objective",
        (Objective::Unknown, _) => "cannot be judged",
    };
    let newest = policy.good.as_ref().map_or("no good point".to_owned(), |point| {
        let age = policy.age.map_or(String::new(), |age| format!(", {age} old"));
        format!("newest good point {}{age}", point.id)
    });
    let slots = &policy.slots;
    format!(
        "- {} {objective}: {newest}; of the last slots {} done, {} incomplete, {} failed, {} missed, {} caught up\n",
        policy.policy, slots.done, slots.incomplete, slots.failed, slots.missed, slots.caught_up
    )
}
