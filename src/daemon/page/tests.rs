use super::*;
use crate::{
    daemon::{
        condition::{Condition, Kind},
        tasks::{CoverageStatus, ReadyStatus},
    },
    orchestrator::coverage::{Covered, State},
};

fn picture(text: &str) -> Picture {
    let status = Status {
        site: "we".parse().unwrap(),
        now: "2026-11-28T12:00:00Z".parse().unwrap(),
        leader: None,
        policies: vec![],
        tasks: vec![],
        coverage: None,
        ready: None,
        reads: vec![],
        recoveries: vec![],
        conditions: vec![Condition::new(Kind::SlotFailed, &text, text)],
    };
    Picture { status, locations: vec![("primary".to_owned(), Some(text.to_owned()))], points: Default::default(), work: vec![], proofs: vec![] }
}

#[test]
fn whatever_others_wrote_is_text() {
    let page = render(&picture("</style><script>alert(1)</script>\"'&"));
    assert!(!page.contains("<script") && page.matches("</style>").count() == 1, "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn the_page_asks_for_nothing_from_outside_and_runs_nothing() {
    let page = render(&picture("x"));
    for word in ["src=", "href=", "http:", "https:", "url(", "@import", "onclick", "style="] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(policy_of_content().starts_with("default-src 'none'"));
}

#[test]
fn what_was_found_is_shown_and_what_lacks_is_named_or_counted() {
    let mut picture = picture("x");
    let asked = "2026-11-28T09:00:00Z".parse().unwrap();
    let lacking = (0..10).map(|number| Covered {
        source: "orders".parse().unwrap(),
        kind: "database".into(),
        name: format!("d{number}"),
        state: State::Uncovered,
        why: "<b>".into(),
    });
    picture.status.coverage = Some(CoverageStatus { asked, counts: [("database".to_owned(), [4, 0, 10, 0])].into(), lacking: lacking.collect() });
    picture.status.ready = Some(ReadyStatus { asked, ready: true, met: 3, lacking: vec![] });
    let page = render(&picture);
    for words in
        ["4 covered, 0 excluded, 10 uncovered, 0 unknown", "orders/database/d7", "2 more", "3 h 0 min ago", "3 questions met, 0 not", "&lt;b&gt;"]
    {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    assert!(!page.contains("orders/database/d8") && !page.contains("Not measured") && !page.contains("<b><"));
}

#[test]
fn what_was_not_looked_at_is_not_green() {
    let page = render(&picture("x"));
    assert_eq!(page.matches("Not measured").count(), 2);
    assert!(page.contains("1 thing is wrong"));
}
