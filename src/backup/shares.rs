//! Puts the shares of a component together that several workers captured. Format: docs/format/source-volumes.md.

use std::collections::{BTreeMap, HashSet};

use super::captured::{CapturedPart, tree_digest};
use crate::{
    model::Problem,
    repository::packlist::PackInfo,
    sources::{FirstName, ShareLinks},
};

impl CapturedPart {
    /// One tree of its shares, in their order; `None` of none.
    pub fn join(shares: Vec<CapturedPart>) -> Option<CapturedPart> {
        let mut shares = shares.into_iter();
        let mut joined = shares.next()?;
        let mut lent: HashSet<FirstName> = joined.links.lends.drain(..).collect();
        let mut live: BTreeMap<PackInfo, u64> = joined.live.into_iter().collect();
        for share in shares {
            joined.component.segments.extend(share.component.segments);
            joined.component.bytes += share.component.bytes;
            joined.component.items += share.component.items;
            joined.consistent_from = joined.consistent_from.min(share.consistent_from);
            joined.consistent_to = joined.consistent_to.max(share.consistent_to);
            for (pack, bytes) in share.live {
                let used = live.entry(pack).or_default();
                *used = (*used + bytes).min(pack.size);
            }
            joined.new_packs.extend(share.new_packs);
            joined.index.extend(share.index);
            joined.hints.extend(share.hints);
            joined.adopted.extend(share.adopted);
            joined.problems.extend(share.problems);
            let ShareLinks { lends, borrows } = share.links;
            joined.problems.extend(borrows.into_iter().filter(|first| !lent.contains(first)).map(dangling));
            lent.extend(lends);
        }
        let mut told = HashSet::new();
        joined.problems.retain(|problem| told.insert((problem.subject.clone(), problem.what.clone())));
        joined.component.digest = tree_digest(&joined.component.segments);
        joined.live = live.into_iter().collect();
        Some(joined)
    }
}

fn dangling(first: FirstName) -> Problem {
    Problem { subject: first.name, what: "other names of it refer to it, and it was changed before it was read".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Sha256, Timestamp},
        pipeline::hash::sha256,
        repository::{map::SegmentRef, sealed::SealedComponent},
        sources::Shape,
    };

    fn share(number: u8, links: ShareLinks, problem: &str) -> CapturedPart {
        let segment = SegmentRef { sha256: sha256(&[number]), listing: sha256(&[number]), entries: 1, runs: Vec::new() };
        let component = SealedComponent {
            name: "n/c".to_owned(),
            shape: Shape::Tree,
            bytes: 10,
            items: 1,
            digest: tree_digest(std::slice::from_ref(&segment)),
            segments: vec![segment],
            stage: 0,
            about: BTreeMap::new(),
            rows: None,
        };
        let at: Timestamp = format!("2026-11-21T12:00:0{number}Z").parse().unwrap();
        let pack = PackInfo { sha256: Sha256::ZERO, size: 100 };
        CapturedPart {
            component,
            problems: vec![Problem { subject: problem.to_owned(), what: "it cannot be read".to_owned() }],
            consistent_from: at,
            consistent_to: at,
            live: vec![(pack, 40)],
            new_packs: Vec::new(),
            index: Vec::new(),
            hints: Vec::new(),
            adopted: Vec::new(),
            links,
        }
    }

    #[test]
    fn shares_become_one_tree_and_what_refers_to_what_no_share_has_is_a_problem() {
        let first = |name: &str, inode| FirstName { name: name.to_owned(), inode };
        let lends = ShareLinks { lends: vec![first("a", 1), first("b", 2)], borrows: Vec::new() };
        let borrows = ShareLinks { lends: vec![first("m", 3)], borrows: vec![first("a", 1), first("b", 7)] };
        let last = ShareLinks { lends: Vec::new(), borrows: vec![first("m", 3), first("b", 7), first("gone", 4)] };
        let joined = CapturedPart::join(vec![share(1, lends, "d"), share(2, borrows, "d"), share(3, last, "e")]).unwrap();
        let subjects: Vec<&str> = joined.problems.iter().map(|problem| problem.subject.as_str()).collect();
        assert_eq!(subjects, ["d", "b", "e", "gone"], "each once: `b` is another file than the one that was read");
        assert_eq!((joined.component.bytes, joined.component.items, joined.component.segments.len()), (30, 3, 3));
        assert_eq!(joined.component.digest, tree_digest(&joined.component.segments));
        assert!(joined.consistent_from < joined.consistent_to && joined.live[0].1 == 100, "no more than the pack has");
        assert!(CapturedPart::join(Vec::new()).is_none());
    }
}
