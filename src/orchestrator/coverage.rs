//! What exists against what policies cover. Nothing is covered by omission: what is neither captured nor left out with a reason is uncovered, and what
//! nobody can tell is said to be unknown.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, SourceConfig},
    model::{Context, MemberName, outcome::explain},
    sources::{
        self,
        existing::{Capture, Existing, Thing, ThingKind},
        kubernetes::fits_path,
    },
};

/// What is known of everything that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Each thing, by source, kind and name.
    pub things: Vec<Covered>,
}

/// A thing and what covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// Whose system holds it.
    pub source: MemberName,
    /// What it is; `unknown` where nobody can tell.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What covers it.
    pub state: State,
    /// Why, for a person: the policies that cover it, the reason why it is left out, or what lacks.
    pub why: String,
}

/// What covers a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A policy captures it.
    Covered,
    /// It is left out, and the configuration says why.
    Excluded,
    /// No policy captures it.
    Uncovered,
    /// Nobody can tell.
    Unknown,
}

impl State {
    /// All of them.
    pub const ALL: [State; 4] = [State::Covered, State::Excluded, State::Uncovered, State::Unknown];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Covered => "covered",
            State::Excluded => "excluded",
            State::Uncovered => "uncovered",
            State::Unknown => "unknown",
        }
    }
}

impl Coverage {
    /// How many things are in a state.
    pub fn count(&self, state: State) -> usize {
        self.things.iter().filter(|thing| thing.state == state).count()
    }
}

/// Asks every source.
pub async fn coverage(config: &Config, ctx: &Context) -> Coverage {
    let mut coverage = Coverage::default();
    for (name, source) in &config.sources {
        let (source, asked) = (sources::open(source), ctx.clone());
        let told = tokio::task::spawn_blocking(move || Arc::clone(&source).existing(&asked)).await;
        let existing = match told {
            Ok(Ok(existing)) => existing,
            Ok(Err(error)) => Existing::untold(&format!("it does not answer: {}", explain(&error))),
            Err(error) => Existing::untold(&format!("it does not answer: {error}")),
        };
        coverage.things.extend(judge(config, name, existing));
    }
    coverage
}

/// Pure: what the configuration covers of what one source's system holds.
fn judge(config: &Config, source: &MemberName, existing: Existing) -> Vec<Covered> {
    let things = existing.things.into_iter().map(|Thing { kind, name, capture }| {
        let (state, why) = by_policies(config, source, kind, &name, &capture);
        (kind.as_str(), name, state, why)
    });
    let untold = existing.untold.into_iter().map(|why| ("unknown", "*".to_owned(), State::Unknown, why));
    let all = things.chain(untold).map(|(kind, name, state, why)| {
        let path = format!("{source}/{kind}/{name}");
        let reason =
            config.excluded.iter().find(|(pattern, _)| state != State::Covered && fits_path(pattern, &path)).map(|(_, reason)| reason.clone());
        let (state, why) = reason.map_or((state, why), |reason| (State::Excluded, reason));
        Covered { source: source.clone(), kind: kind.to_owned(), name, state, why }
    });
    all.collect()
}

fn by_policies(config: &Config, source: &MemberName, kind: ThingKind, name: &str, capture: &Capture) -> (State, String) {
    let by = |member: &str| match policies(config, member).as_slice() {
        [] => (State::Uncovered, format!("the source {member} is a member of no policy")),
        names => (State::Covered, names.join(", ")),
    };
    match capture {
        Capture::Captured => by(source.as_str()),
        Capture::By(Some(member)) => by(member),
        Capture::By(None) if kind == ThingKind::Image => match imaged(config, name) {
            Some(member) => by(&member),
            None => (State::Uncovered, "no source of images names it".to_owned()),
        },
        Capture::By(None) => (State::Uncovered, "no source captures it".to_owned()),
        Capture::NotNeeded(key) => (State::Excluded, format!("{key} says that nobody needs it")),
        Capture::Left(why) => (State::Uncovered, why.clone()),
    }
}

/// Policies that run by themselves or by hand, and have a member.
fn policies(config: &Config, member: &str) -> Vec<String> {
    let has = |members: &BTreeMap<MemberName, crate::config::Need>| members.keys().any(|name| name.as_str() == member);
    config.policies.iter().filter(|(_, policy)| has(&policy.members)).map(|(name, _)| name.to_string()).collect()
}

/// The source of images that names an image.
fn imaged(config: &Config, image: &str) -> Option<String> {
    let wanted: oci_client::Reference = image.parse().ok()?;
    let found = config.sources.iter().find(|(name, source)| match source {
        SourceConfig::Images(images) => images.references.contains(&wanted) && !policies(config, name.as_str()).is_empty(),
        _ => false,
    });
    found.map(|(name, _)| name.to_string())
}
