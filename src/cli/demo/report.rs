//! The report as one HTML page without anything from outside, for screens light and dark and for paper.

use super::{
    chart::gantt,
    facts::{Facts, NEXT, rate},
};
use crate::cli::page::{HEAD, STYLE, escape, table, tile};

/// How every report begins: what begins otherwise is not overwritten.
pub(super) const BEGIN: &str = "<!doctype html>\n<!-- hourglass demo -->\n";

/// The page.
pub(super) fn page(facts: &Facts) -> String {
    let date = facts.began.strftime("%-d %B %Y, %H:%M UTC");
    let version = env!("CARGO_PKG_VERSION");
    let workers = facts.workers;
    let head = format!("{HEAD}<title>Hourglass: a region lost and recovered</title>\n");
    let bodies = [tiles(facts), chart(facts), members(facts), phases(facts), reasons(facts), next()].concat();
    format!(
        "{BEGIN}<html lang=\"en\">\n<head>\n{head}<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<p class=\"brand\">Hourglass demonstration</p>\n\
         <h1>A region was lost.<br>{:.2} seconds later it stood again, equal.</h1>\n<p class=\"lead\">{}</p>\n</header>\n<main>\n{bodies}</main>\n\
         <footer>hourglass {version} on {workers} processors, {date}. Everything here was measured in one run of {:.1} s; nothing is simulated. \
         Times depend on the machine and its disk.</footer>\n</body>\n</html>\n",
        facts.rto(),
        lead(facts),
        facts.total()
    )
}

fn lead(facts: &Facts) -> String {
    format!(
        "A platform of {} files ({}) was protected twice and copied to another region. Then region A was deleted from the disk: data, object \
         store, journals, state and keys. Region B had its own configuration, its copy of the backups, and the operator&rsquo;s key from a safe.",
        grouped(facts.equal.files),
        facts.equal.bytes
    )
}

/// `4213` as `4,213`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut parts: Vec<&str> = if first > 0 { vec![&digits[..first]] } else { Vec::new() };
    parts.extend((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    parts.join(",")
}

fn tiles(facts: &Facts) -> String {
    let seconds = |seconds: f64| format!("{seconds:.2}<small> s</small>");
    let equal = facts.equal;
    let all = [
        tile("", "Recovery time (RTO)", &seconds(facts.rto()), "from the first deleted file to the last compared one"),
        tile("", "Data lost (RPO)", &seconds(facts.rpo()), "age of the recovery point when the region was lost"),
        tile("good", "Equality", "Equal", &format!("{} entries, {}, compared twice", grouped(equal.entries), equal.bytes)),
        tile(
            "",
            "Second backup",
            &facts.second.stored().to_string(),
            &format!("stored, {:.0} % less than the first: the rest was shared", facts.shared()),
        ),
    ];
    format!("<section class=\"tiles\">\n{}</section>\n", all.concat())
}

fn chart(facts: &Facts) -> String {
    let legend = "<p class=\"legend\"><span class=\"key before\"></span>before &ensp;<span class=\"key disaster\"></span>disaster &ensp;\
        <span class=\"key recovery\"></span>recovery &ensp;<span class=\"key after\"></span>after &ensp;<span class=\"key step\"></span>steps that run in parallel</p>\n";
    format!("<section>\n<h2>What happened, and when</h2>\n<div class=\"wide\">\n{}</div>\n{legend}</section>\n", gantt(facts))
}

fn members(facts: &Facts) -> String {
    let row = |member: &super::facts::Member| {
        let restored = &member.restored;
        let seconds = facts.restored_in(&restored.step);
        vec![
            restored.name.clone(),
            restored.kind.clone(),
            grouped(restored.items),
            restored.bytes.to_string(),
            member.first_stored.to_string(),
            member.second_stored.to_string(),
            format!("{seconds:.2} s"),
            rate(restored.bytes, seconds),
        ]
    };
    let rows: Vec<_> = facts.members.iter().map(row).collect();
    let heads = ["Member", "Source", "Items", "Content", "First stored", "Second stored", "Restored in", "Rate"];
    format!("<section>\n<h2>Members</h2>\n{}</section>\n", table(&heads, 2..8, &rows))
}

fn phases(facts: &Facts) -> String {
    let row = |(i, phase): (usize, &super::timeline::Phase)| {
        let seconds = phase.span.seconds();
        let bytes = phase.bytes.map_or(String::new(), |bytes| bytes.to_string());
        let rate = phase.bytes.map_or(String::new(), |bytes| rate(bytes, seconds));
        vec![(i + 1).to_string(), phase.name.to_owned(), format!("{seconds:.2} s"), bytes, rate, phase.result.clone()]
    };
    let rows: Vec<_> = facts.phases.iter().enumerate().map(row).collect();
    format!("<section>\n<h2>Phases</h2>\n{}</section>\n", table(&["", "Phase", "Time", "Bytes", "Rate", "Result"], 2..5, &rows))
}

fn reasons(facts: &Facts) -> String {
    let records = facts.records.iter().map(|(lineage, entries)| format!("<code>{}</code> ({entries} entries)", escape(lineage)));
    let point = escape(&facts.recovered.point.to_string());
    format!(
        "<section>\n<h2>Why to believe it</h2>\n<ul>\n\
         <li><b>The loss was real.</b> {} files with {} were removed, the object store of region A and the cluster&rsquo;s keys among them.</li>\n\
         <li><b>The restore compared.</b> Every frame was decrypted and decoded, every file read back, every name, right and time compared with the \
         sealed manifest of <code>{point}</code>; streams by their SHA-256.</li>\n\
         <li><b>Somebody else compared too.</b> SHA-256 of {} files, and names, rights and times of {} entries (a stream brings back content \
         alone), were taken before the loss by code that shares nothing with backup and restore but the hash function, and are the same now.</li>\n\
         <li><b>The record holds.</b> Signatures, chain and trust of {} were checked in region B, and the restore is an entry of it.</li>\n\
         <li><b>Production cannot read its backups.</b> The key that opens them lay in the safe the whole time, never in region A.</li>\n</ul>\n</section>\n",
        grouped(facts.lost.files),
        facts.lost.bytes,
        grouped(facts.equal.files),
        grouped(facts.equal.entries),
        records.collect::<Vec<_>>().join(" and "),
    )
}

fn next() -> String {
    let lines: String =
        NEXT.iter().map(|(command, why)| format!("<span class=\"prompt\">$ </span>{:<52}<i># {why}</i>\n", escape(command))).collect();
    format!("<section>\n<h2>Now with your own data</h2>\n<pre>{lines}</pre>\n</section>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([7, 999, 1000, 4_213, 1_234_567].map(grouped), ["7", "999", "1,000", "4,213", "1,234,567"]);
    }
}
