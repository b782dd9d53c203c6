//! Snapshots that no point needs any more: their points are gone, or their runs ended without one.
//!
//! A snapshot is named after its run and its [`Owner`], so that a list of names says whose it is: nothing of another repository, lineage or member,
//! and nothing that people made, is ever touched.

use std::time::{Duration, Instant};

use super::{api::Api, snapshot::listed};
use crate::{
    config::AnalyticsConfig,
    model::{Context, Problem, RunId, outcome::advise},
    sources::{Opening, Owner, SourceError},
};

/// Snapshots that one run removes at most.
const MOST: usize = 10;
/// After so long no further one is removed: a cluster that restores from one, or makes another, answers when it is done.
const LONGEST: Duration = Duration::from_secs(60);
const PREFIX: &str = "hourglass-";

/// The name of a snapshot: `hourglass-20261121t120000z-0123abcd-<tag of its owner>`. Names have no capital letters.
pub fn name(opening: &Opening, ctx: &Context) -> String {
    match &opening.of {
        Some((owner, run)) => format!("{PREFIX}{}-{}", run.as_str().to_lowercase(), owner.tag()),
        None => {
            let random = getrandom::u32().expect("the operating system has random numbers");
            format!("{PREFIX}{}", RunId::new(ctx.clock.now(), random).as_str().to_lowercase())
        }
    }
}

/// The run of a snapshot that is the owner's.
fn run_of(name: &str, owner: &Owner) -> Option<RunId> {
    let run = name.strip_prefix(PREFIX)?.strip_suffix(&owner.tag())?.strip_suffix('-')?;
    let (time, random) = run.split_once('-')?;
    format!("{}-{random}", time.to_uppercase()).parse().ok()
}

/// Removes the oldest of the owner's snapshots whose runs are spent. See [`crate::sources::Source::release`].
pub fn remove(api: &Api, config: &AnalyticsConfig, owner: &Owner, is_spent: &dyn Fn(&RunId) -> bool, ctx: &Context) -> Vec<Problem> {
    let told = |subject: &str, what: String| Problem { subject: format!("snapshot {subject}"), what };
    let cannot = |error: &SourceError| format!("its point is gone, and it cannot be removed now: {}", advise(error, error.hint()));
    let mut names: Vec<String> = match listed(api, &config.repository) {
        Ok(listed) => listed.into_iter().map(|(name, _)| name).collect(),
        Err(error) => return vec![told("*", format!("whether there are any whose points are gone is not known: {}", advise(&error, error.hint())))],
    };
    names.retain(|name| run_of(name, owner).is_some_and(|run| is_spent(&run)));
    names.sort_unstable();
    let (began, mut said) = (Instant::now(), Vec::new());
    for name in names.iter().take(MOST) {
        if ctx.cancel.is_draining() || began.elapsed() > LONGEST {
            break;
        }
        match api.delete(&["_snapshot", &config.repository, name]) {
            Ok(()) => said.push(told(name, "was removed: its point is gone".to_owned())),
            Err(error) => {
                said.push(told(name, cannot(&error)));
                break;
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    use super::*;
    use crate::sources::RowKey;

    fn owner(member: &str) -> Owner {
        Owner { repository: "0f".repeat(16).parse().unwrap(), lineage: "production@we/1".parse().unwrap(), member: member.parse().unwrap() }
    }

    /// A cluster that lists these snapshots and deletes none.
    fn refusing(names: &[String]) -> AnalyticsConfig {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let listed: Vec<_> = names.iter().map(|name| serde_json::json!({"snapshot": name, "uuid": "u"})).collect();
        let listed = serde_json::json!({"snapshots": listed}).to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines: Vec<String> = BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                let (status, body) = if lines[0].starts_with("GET") { ("200 OK", listed.as_str()) } else { ("403 Forbidden", r#"{"error":"no"}"#) };
                write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
        });
        AnalyticsConfig {
            url,
            ca_file: None,
            login: None,
            indices: Vec::new(),
            repository: "r".to_owned(),
            repository_kind: "fs".to_owned(),
            repository_settings: BTreeMap::new(),
            objects: None,
            mirrors: BTreeMap::new(),
            replicas: 0,
            lanes: 1,
            timeout: Duration::from_secs(60),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_cluster_does_not_delete_is_told_and_the_rest_is_left_to_the_next_run() {
        let named = |run: &str| {
            let opening = Opening { row_key: RowKey::generate(), of: Some((owner("events"), run.parse().unwrap())) };
            name(&opening, &Context::default())
        };
        let names = ["20261122T120000Z-00000001", "20261121T120000Z-00000002", "20261123T120000Z-00000003"].map(named);
        let config = refusing(&names);
        let removing = move || remove(&Api::new(&config).unwrap(), &config, &owner("events"), &|_| true, &Context::default());
        let said = tokio::task::spawn_blocking(removing).await.unwrap();
        let [Problem { subject, what }] = &said[..] else { panic!("{said:?}") };
        assert_eq!(*subject, format!("snapshot {}", names[1]), "the oldest is the first");
        assert!(what.starts_with("its point is gone, and it cannot be removed now") && what.contains("403"), "{what}");
    }

    #[test]
    fn a_name_tells_its_run_to_its_owner_alone() {
        let run: RunId = "20261121T120000Z-0123abcd".parse().unwrap();
        let opening = Opening { row_key: RowKey::generate(), of: Some((owner("events"), run.clone())) };
        let named = name(&opening, &Context::default());
        assert!(named.starts_with("hourglass-20261121t120000z-0123abcd-"), "{named}");
        assert_eq!((run_of(&named, &owner("events")), run_of(&named, &owner("other"))), (Some(run.clone()), None));
        let of_nobody = name(&Opening { of: None, ..opening }, &Context::default());
        for other in ["nightly", "hourglass-", "hourglass-20261121-120000-0123abcd", &of_nobody] {
            assert_eq!(run_of(other, &owner("events")), None, "{other}");
        }
        assert_eq!(run.start(), Some("2026-11-21T12:00:00Z".parse().unwrap()));
    }
}
