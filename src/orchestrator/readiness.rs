//! Whether this site could take the service over: everything that is asked is said with its answer, and what could not be asked is not ready.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

use super::repo::{Repo, RepoError};
use crate::{
    config::{Config, SourceConfig},
    model::{Context, Lineage, Seconds, Timestamp, outcome::explain},
    repository::{
        catalog::{Catalog, CatalogPoint},
        presence::presence,
    },
    sources::{self, SourceError, images, kubernetes},
};

/// What was asked, and the answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// Each question.
    pub checks: Vec<Check>,
}

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was asked, and of what: `cluster spare: nodes agentpool=apim`.
    pub about: String,
    /// Whether it is as it has to be.
    pub ready: bool,
    /// What it is like.
    pub what: String,
}

impl Readiness {
    fn say(&mut self, about: String, answer: Result<String, String>) {
        let (ready, what) = answer.map_or_else(|what| (false, what), |what| (true, what));
        self.checks.push(Check { about, ready, what });
    }

    /// Whether everything is as it has to be; nothing asked is nothing ready.
    pub fn is_ready(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.ready)
    }
}

/// Asks everything that the configuration says.
pub async fn readiness(config: &Config, ctx: &Context) -> Readiness {
    let (mut found, now) = (Readiness::default(), ctx.clock.now());
    points(config, now, &mut found).await;
    for name in &config.ready.images {
        let SourceConfig::Images(of) = &config.sources[name] else { continue };
        let of = of.clone();
        let answers = blocking(move || Ok(images::at_registry(&of))).await;
        tell(&mut found, &format!("images {name}"), answers);
    }
    for (name, needs) in &config.ready.clusters {
        let SourceConfig::Kubernetes(of) = &config.sources[name] else { continue };
        let (of, needs) = (of.clone(), needs.clone());
        let answers = blocking(move || kubernetes::fitness(&of, &needs)).await;
        tell(&mut found, &format!("cluster {name}"), answers);
    }
    for name in &config.ready.credentials {
        let (source, ctx) = (sources::open(&config.sources[name]), ctx.clone());
        let told = blocking(move || source.existing(&ctx)).await;
        let answer = match told {
            Ok(existing) if existing.things.is_empty() => Err(existing.untold.join("; ")),
            Ok(existing) => Ok(format!("it lets us in, and shows {} things", existing.things.len())),
            Err(why) => Err(why),
        };
        found.say(format!("credentials {name}"), answer);
    }
    lasting(config, now, &mut found);
    found
}

fn tell(found: &mut Readiness, of: &str, answers: Result<Vec<kubernetes::Answer>, String>) {
    match answers {
        Ok(answers) => answers.into_iter().for_each(|(about, answer)| found.say(format!("{of}: {about}"), answer)),
        Err(why) => found.say(of.to_owned(), Err(why)),
    }
}

async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> Result<T, SourceError> + Send + 'static) -> Result<T, String> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer.map_err(|error| explain(&error)),
        Err(error) => Err(error.to_string()),
    }
}

async fn points(config: &Config, now: Timestamp, found: &mut Readiness) {
    if config.ready.points.is_empty() {
        return;
    }
    let repo = match Repo::connect(config.clone(), &config.ready.location).await {
        Ok(repo) => repo,
        Err(error) => return found.say(format!("location {}", config.ready.location), Err(explain(&error))),
    };
    for (lineage, most) in &config.ready.points {
        let answer = match newest(&repo, lineage).await {
            Ok(Some((id, from))) => {
                let age = Seconds::between(from, now);
                let said = format!("{id} is complete at {}, and {age} old", repo.location);
                if age <= Seconds::from(*most) { Ok(said) } else { Err(said) }
            }
            Ok(None) => Err(format!("{} has no good point that is complete", repo.location)),
            Err(error) => Err(explain(&error)),
        };
        found.say(format!("points {lineage}"), answer);
    }
}

/// The newest good point that has everything here, and from when its data is.
async fn newest(repo: &Repo, lineage: &Lineage) -> Result<Option<(crate::model::RecoveryPointId, Timestamp)>, RepoError> {
    let (record, _) = repo.record(lineage).await?;
    let catalog = Catalog::new(&record, &[]);
    let good: Vec<&CatalogPoint<'_>> = catalog.points().iter().rev().filter(|point| point.is_good()).collect();
    for point in good {
        if presence(Arc::clone(&repo.store).as_ref(), &record, point.name.id.number).await?.is_complete() {
            return Ok(Some((point.name.id.clone(), point.point.consistent_from())));
        }
    }
    Ok(None)
}

/// Certificates and licences.
fn lasting(config: &Config, now: Timestamp, found: &mut Readiness) {
    let needed = now + jiff::SignedDuration::try_from(config.ready.valid_for).unwrap_or(jiff::SignedDuration::MAX);
    let until = |end: Timestamp| {
        let said = format!("until {}", end.strftime("%F %TZ"));
        if end >= needed { Ok(said) } else { Err(said) }
    };
    for (name, file) in &config.ready.certificates {
        let answer =
            std::fs::read(file).map_err(|error| format!("reading {}: {error}", file.display())).and_then(|pem| earliest_end(&pem)).and_then(until);
        found.say(format!("certificate {name}"), answer);
    }
    for (name, day) in &config.ready.licences {
        let end = day.to_zoned(jiff::tz::TimeZone::UTC).map(|begin| begin.timestamp() + jiff::SignedDuration::from_hours(24));
        found.say(format!("licence {name}"), end.map_err(|error| error.to_string()).and_then(until));
    }
}

/// When the first certificate of a chain ends that does.
fn earliest_end(pem: &[u8]) -> Result<Timestamp, String> {
    let chain = Certificate::load_pem_chain(pem).map_err(|error| format!("it is not a certificate: {error}"))?;
    let ends = chain.iter().map(|one| one.tbs_certificate().validity().not_after.to_unix_duration().as_secs());
    let end = ends.min().ok_or("it has no certificate")?;
    i64::try_from(end).ok().and_then(|end| Timestamp::from_second(end).ok()).ok_or_else(|| "it ends at no time that we know".to_owned())
}
