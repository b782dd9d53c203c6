use super::*;
use crate::daemon::condition::{Condition, Kind};

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
fn what_was_not_looked_at_is_not_green() {
    let page = render(&picture("x"));
    assert_eq!(page.matches("Not measured").count(), 2);
    assert!(page.contains("1 thing is wrong"));
}
