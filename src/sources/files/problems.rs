//! Problems, told one by one up to a limit and counted beyond it.

use crate::{model::Problem, sources::entry::display_path};

/// How many are told one by one.
const LISTED: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<Problem>,
    more: u64,
}

impl Problems {
    pub(super) fn push(&mut self, path: &[u8], what: String) {
        self.add(Problem { subject: display_path(path), what });
    }

    pub(super) fn add(&mut self, problem: Problem) {
        match self.listed.len() < LISTED {
            true => self.listed.push(problem),
            false => self.more += 1,
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<Problem> {
        self.listed.extend(counted(self.more, "have further problems"));
        self.listed
    }
}

/// One problem that stands for many.
pub(super) fn counted(count: u64, what: &str) -> Option<Problem> {
    (count > 0).then(|| Problem { subject: format!("{count} entries"), what: what.to_owned() })
}
