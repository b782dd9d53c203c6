//! The report of a recovery as one HTML page.

use super::{
    chart::gantt,
    facts::{Facts, Member, OrderFacts, StepFacts},
    word,
};
use crate::{
    cli::page::{HEAD, STYLE, escape, table, tile},
    model::{ByteCount, Seconds, Timestamp},
};

/// Reasons of a member that the page shows; all of them stand in the JSON.
const REASONS_MAX: usize = 5;

/// The page.
pub(super) fn page(facts: &Facts) -> String {
    let (title, declared) = (escape(&facts.runbook), time(facts.clocks.declared));
    let headline = match facts.clocks.service_seconds {
        Some(seconds) => format!("{title}: service green after {seconds}"),
        None => format!("{title}: service NOT green"),
    };
    let point = facts.point.as_ref().map_or(String::new(), |point| format!(" from <code>{}</code>", escape(&point.to_string())));
    let event = facts.clocks.event.map_or(String::new(), |event| format!(" The event was at {}.", time(event)));
    let open = if facts.ended.is_none() { " The run is not at its end." } else { "" };
    let lead = format!("Run <code>{}</code> at site {}{point}, declared {declared}.{event}{open}", facts.run, escape(facts.site.as_str()));
    let bodies = [tiles(facts), chart(facts), clocks(facts), problems(facts), members(facts), objects(facts), steps(facts), orders(facts)].concat();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n{HEAD}<title>Recovery {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
         <p class=\"brand\">Hourglass recovery report</p>\n<h1>{headline}</h1>\n<p class=\"lead\">{lead}</p>\n</header>\n<main>\n{bodies}</main>\n\
         <footer>hourglass {}. Runbook SHA-256 <code>{}</code>. All times are from the run&rsquo;s journal.</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        facts.runbook_sha256
    )
}

fn time(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string()
}

fn seconds(seconds: Option<Seconds>) -> String {
    seconds.map_or("&ndash;".to_owned(), |seconds| seconds.to_string())
}

fn tiles(facts: &Facts) -> String {
    let clocks = &facts.clocks;
    let met = |took: Option<Seconds>, objective: Seconds| if took.is_some_and(|took| took <= objective) { "good" } else { "bad" };
    let objective = |objective: Seconds| format!("objective {objective}");
    let equal = facts.members.iter().filter(|member| member.equal).count();
    let all = facts.members.len();
    let from = if clocks.event.is_some() { "event" } else { "declaration" };
    let good = word(&facts.outcome) == "succeeded";
    let deviations = match facts.deviations().count() {
        1 => "1 deviation".to_owned(),
        count => format!("{count} deviations"),
    };
    let tiles = [
        tile(if good { "good" } else { "bad" }, "Outcome", word(&facts.outcome), &deviations),
        tile(
            met(clocks.service_seconds, clocks.service_objective),
            "Service green (RTO)",
            &seconds(clocks.service_seconds),
            &objective(clocks.service_objective),
        ),
        tile("", "Data lost (RPO)", &seconds(facts.rpo()), &format!("the most of any member, before the {from}")),
        tile(if equal == all { "good" } else { "bad" }, "Equality", &format!("{equal} of {all}"), "members read back and found equal"),
    ];
    format!("<section class=\"tiles\">\n{}</section>\n", tiles.concat())
}

fn chart(facts: &Facts) -> String {
    let legend = "<p class=\"legend\"><span class=\"key recovery\"></span>done &ensp;<span class=\"key disaster\"></span>did not succeed &ensp;\
        <span class=\"key step\"></span>the process was lost &ensp;<span class=\"key after\"></span>later</p>\n";
    let waited = match facts.clocks.decisions_seconds {
        Seconds(0) => String::new(),
        waited => format!("<p class=\"note\">Persons took {waited} to decide, which is counted.</p>\n"),
    };
    format!("<section>\n<h2>What happened, and when</h2>\n<div class=\"wide\">\n{}</div>\n{legend}{waited}</section>\n", gantt(facts))
}

fn clocks(facts: &Facts) -> String {
    let clocks = &facts.clocks;
    let at = |at: Option<Timestamp>| at.map_or("not reached".to_owned(), time);
    let row = |name: &str, at: String, after: Option<Seconds>, objective: Option<Seconds>| {
        let text = |seconds: Option<Seconds>| seconds.map_or(String::new(), |seconds| seconds.to_string());
        vec![name.to_owned(), at, text(after), text(objective)]
    };
    let rows = [
        row("event", clocks.event.map_or("not known".to_owned(), time), None, None),
        row("declared", time(clocks.declared), None, None),
        row("service green", at(clocks.service_green), clocks.service_seconds, Some(clocks.service_objective)),
        row("all green", at(clocks.full_green), clocks.full_seconds, Some(clocks.full_objective)),
    ];
    format!("<section>\n<h2>Clocks</h2>\n{}</section>\n", table(&["Clock", "At", "After the declaration", "Objective"], 2..4, &rows))
}

fn problems(facts: &Facts) -> String {
    let rows: Vec<_> = facts.problems().into_iter().map(|problem| vec![problem.subject, problem.what]).collect();
    if rows.is_empty() { String::new() } else { format!("<section>\n<h2>What is missing</h2>\n{}</section>\n", table(&["", ""], 0..0, &rows)) }
}

fn members(facts: &Facts) -> String {
    let text = |seconds: Option<Seconds>| seconds.map_or(String::new(), |seconds| seconds.to_string());
    let row = |member: &Member| {
        let differs = member.reasons.iter().take(REASONS_MAX).map(|problem| format!("{}: {}", problem.subject, problem.what)).collect::<Vec<_>>();
        let more = member.reasons.len().saturating_sub(REASONS_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let equal = match (member.equal, differs.is_empty()) {
            (true, _) => "equal".to_owned(),
            (false, true) => "not compared as equal".to_owned(),
            (false, false) => format!("not compared as equal: {}{more}", differs.join("; ")),
        };
        vec![
            member.name.to_string(),
            member.items.map_or(String::new(), |items| items.to_string()),
            member.bytes.map_or(String::new(), |bytes| ByteCount(bytes).to_string()),
            text(member.rto_seconds),
            text(member.rpo_seconds),
            member.consistent_from.map_or(String::new(), time),
            equal,
        ]
    };
    let rows: Vec<_> = facts.members.iter().map(row).collect();
    let heads = ["Member", "Items", "Content", "There after", "Lost", "Consistent from", "Compared"];
    if rows.is_empty() { String::new() } else { format!("<section>\n<h2>Members</h2>\n{}</section>\n", table(&heads, 1..5, &rows)) }
}

/// What became of objects and images, and how many of each.
fn objects(facts: &Facts) -> String {
    let counted = facts.members.iter().flat_map(|member| member.tally.iter().map(move |(what, count)| (member, what, count)));
    let rows: Vec<_> =
        counted.map(|(member, what, count)| vec![member.step.to_string(), member.name.to_string(), what.clone(), count.to_string()]).collect();
    let heads = ["Step", "Member", "What became of them", "How many"];
    if rows.is_empty() { String::new() } else { format!("<section>\n<h2>Objects and images</h2>\n{}</section>\n", table(&heads, 3..4, &rows)) }
}

fn steps(facts: &Facts) -> String {
    let row = |step: &StepFacts| {
        let took = step.took.map_or(String::new(), |took| took.to_string());
        let state = if step.attempts > 1 { format!("{} ({} attempts)", step.state, step.attempts) } else { step.state.to_owned() };
        vec![step.id.to_string(), step.title.clone(), step.budget.to_string(), took, state, step.said.clone()]
    };
    let rows: Vec<_> = facts.steps.iter().map(row).collect();
    format!("<section>\n<h2>Steps</h2>\n{}</section>\n", table(&["Step", "What", "Budget", "Took", "State", ""], 2..4, &rows))
}

fn orders(facts: &Facts) -> String {
    let row = |order: &OrderFacts| {
        let kind = if order.is_approval { "approval" } else { "deviation" };
        let refused = order.refused.as_ref().map_or(kind.to_owned(), |why| format!("refused: {why}"));
        vec![time(order.written), order.by.clone(), order.what.clone(), order.reason.clone(), refused]
    };
    let mut rows: Vec<_> = facts.orders.iter().map(row).collect();
    rows.extend(facts.resumed.iter().map(|at| vec![time(*at), String::new(), "another process went on".to_owned(), String::new(), String::new()]));
    rows.extend(facts.takeovers.iter().map(|taken| {
        let what = format!("taken over by {}", taken.machine);
        vec![time(taken.written), taken.by.clone(), what, taken.reason.clone(), format!("{:?}", taken.ground).to_lowercase()]
    }));
    if rows.is_empty() {
        String::new()
    } else {
        format!("<section>\n<h2>Decisions and deviations</h2>\n{}</section>\n", table(&["When", "Who", "What", "Why", ""], 0..0, &rows))
    }
}
