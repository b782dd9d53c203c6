//! One run of a task: this program as a process of its own, with the arguments that a person would give. It ends with this process, and at its deadline.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::Instant,
};

use super::{fate::Fate, ledger::event::End};
use crate::config::{Config, TaskDepth, Work};

/// The program that runs here, also when its file was replaced.
const PROGRAM: &str = "/proc/self/exe";
/// How long it may take to reach a safe point when it is asked to end, before it has to end at once.
const GRACE: Duration = Duration::from_secs(20);
/// How long that may take, commands that it began included, before it is killed.
const LAST: Duration = Duration::from_secs(20);
/// What it may say at most.
const MOST_SAID: u64 = 16 << 20;
/// Problems that are told of at most.
const SHOWN: usize = 5;
const LATE: &str = "it did not end before its deadline";

/// A process that does a task. Dropped, it ends as it does when this process ends: by itself, so that commands which it began end too.
#[derive(Debug)]
pub struct Errand {
    child: Child,
    /// It ends when this does, so that it never outlives whoever began it.
    leash: Option<ChildStdin>,
    said: JoinHandle<Vec<u8>>,
    deadline: Instant,
    /// Why it was asked to end, and when.
    asked: Option<(&'static str, Instant)>,
}

/// The arguments of a task.
pub fn arguments(work: &Work) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut say = |text: &[&str]| words.extend(text.iter().map(|word| (*word).to_owned()));
    match work {
        Work::Copy { to } => say(&["copy", "--to", to]),
        Work::Verify { depth, location, within } => {
            let depth = match depth {
                TaskDepth::Present => "present",
                TaskDepth::Intact => "intact",
                TaskDepth::Restorable => "restorable",
            };
            say(&["verify", "--depth", depth, "--location", location]);
            if let Some(within) = within {
                say(&["--within", &format!("{}s", within.as_secs())]);
            }
        }
        Work::Expire { policy } => say(&["expire", policy.as_str()]),
        Work::Prune { policy, location } => say(&["prune", policy.as_str(), "--location", location]),
        Work::RestoreTest { policy, into, scratch } => {
            say(&["restore-test", policy.as_str()]);
            for (member, source) in into {
                say(&["--into", &format!("{member}={source}")]);
            }
            if let Some(scratch) = scratch {
                say(&["--scratch", &scratch.display().to_string()]);
            }
        }
        Work::Ready => say(&["ready"]),
        Work::Coverage => say(&["coverage"]),
    }
    words
}

impl Errand {
    /// Begins a task.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn begin(config: &Config, work: &Work, deadline: Duration) -> std::io::Result<Errand> {
        let mut command = Command::new(PROGRAM);
        command.args(arguments(work)).arg("--config").arg(&config.path).args(["--output", "json", "--quiet", "--until-stdin-ends"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (leash, out) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        Ok(Errand { child, leash, said: tokio::spawn(read(out)), deadline: Instant::now() + deadline, asked: None })
    }

    /// Asks it to reach a safe point.
    pub fn stop(&mut self, why: &'static str) {
        if self.asked.is_none() {
            self.asked = Some((why, Instant::now()));
            if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
                // It may have ended.
                let _gone = kill_process(pid, Signal::TERM);
            }
        }
    }

    /// Waits for its end, a while; `None` when it goes on.
    pub async fn wait(&mut self, most: Duration) -> Option<Fate> {
        if Instant::now() >= self.deadline {
            self.stop(LATE);
        }
        let waited = self.asked.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        if waited >= GRACE {
            self.leash = None;
        }
        if waited >= GRACE + LAST {
            // It may have ended.
            let _gone = self.child.start_kill();
        }
        let status = tokio::time::timeout(most, self.child.wait()).await.ok()?;
        let said = (&mut self.said).await.unwrap_or_default();
        let code = status.ok().and_then(|status| status.code());
        Some(match self.asked {
            // It was done all the same.
            _ if code == Some(0) => Fate::Over(End::Done, None),
            Some((LATE, _)) => Fate::Nothing(LATE.to_owned()),
            Some((why, _)) => Fate::Stopped(why.to_owned()),
            None => judge(code, &said),
        })
    }
}

async fn read(out: ChildStdout) -> Vec<u8> {
    let mut said = Vec::new();
    // What was read until then is all there is.
    let _end = out.take(MOST_SAID).read_to_end(&mut said).await;
    said
}

/// What an exit status and the answer in JSON mean. Docs: docs/how-to/errors-and-exit-codes.md.
fn judge(code: Option<i32>, said: &[u8]) -> Fate {
    let answer: Value = serde_json::from_slice(said).unwrap_or_default();
    let why = sentence(&answer).unwrap_or_else(|| match code {
        Some(code) => format!("it ended with status {code}"),
        None => "it was killed".to_owned(),
    });
    match code {
        Some(0) => Fate::Over(End::Done, None),
        Some(3) => Fate::Over(End::Incomplete, Some(why)),
        Some(5 | 6) => Fate::Over(End::Failed, Some(why)),
        _ => Fate::Nothing(why),
    }
}

fn sentence(answer: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let problems = answer["problems"].as_array().map_or(&[][..], Vec::as_slice);
    let mut parts: Vec<String> = answer["error"]["message"].as_str().map(str::to_owned).into_iter().collect();
    parts.extend(answer["error"]["causes"].as_array().into_iter().flatten().filter_map(text));
    parts.extend(problems.iter().take(SHOWN).filter_map(|one| Some(format!("{}: {}", one["subject"].as_str()?, one["what"].as_str()?))));
    if problems.len() > SHOWN {
        parts.push(format!("and {} more", problems.len() - SHOWN));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ends_with_decides_and_what_it_says_is_told() {
        let said = br#"{"problems":[{"subject":"a","what":"b"}],"error":{"message":"m","causes":["c"]}}"#;
        assert_eq!(judge(Some(0), said), Fate::Over(End::Done, None));
        assert_eq!(judge(Some(3), said), Fate::Over(End::Incomplete, Some("m; c; a: b".into())));
        assert_eq!(judge(Some(6), b"{}"), Fate::Over(End::Failed, Some("it ended with status 6".into())));
        assert_eq!(judge(Some(1), b"no"), Fate::Nothing("it ended with status 1".into()));
        assert_eq!(judge(None, b""), Fate::Nothing("it was killed".into()));
    }
}
