//! What a command says on its standard error: the end of it, without secrets.

use std::{
    collections::VecDeque,
    io::Read,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use crate::model::Secret;

/// How much of it is kept.
const KEPT: usize = 64 << 10;
/// How many lines are shown.
const LINES: usize = 20;
/// How much of a line is shown, in characters.
const LINE: usize = 500;
/// How long its end is waited for once the command has ended: a process that escaped from the group may hold it open for ever.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines of a secret that are at least this long are secrets too.
const SECRET_LINE: usize = 8;

#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        if let Some(over) = self.bytes.len().checked_sub(KEPT).filter(|over| *over > 0) {
            self.bytes.drain(..over);
            self.cut = true;
        }
    }

    fn lines(&self, secrets: &[Secret]) -> Vec<String> {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let mut start = 0;
        if self.cut {
            // A secret may have been cut in two: its second half would not be recognised.
            let longest = secrets.iter().map(|secret| secret.expose().len()).max().unwrap_or(0);
            start = bytes.iter().position(|b| *b == b'\n').map_or(longest, |at| at + 1).min(bytes.len());
        }
        let text = scrub(&String::from_utf8_lossy(&bytes[start..]), secrets);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].iter().map(|line| line.chars().take(LINE).collect()).collect()
    }
}

/// Replaces secrets, whole and by line, longest first.
fn scrub(text: &str, secrets: &[Secret]) -> String {
    let lines = |secret: &'_ Secret| secret.expose().lines().map(str::to_owned).filter(|line| line.len() >= SECRET_LINE).collect::<Vec<_>>();
    let mut hidden: Vec<Secret> = secrets.iter().flat_map(lines).map(Secret::new).chain(secrets.iter().cloned()).collect();
    hidden.retain(|secret| !secret.expose().is_empty());
    hidden.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "[secret]"))
}

/// Listens to a standard error on a thread of its own.
#[derive(Debug)]
pub(super) struct Listener {
    tail: Arc<Mutex<Tail>>,
    ended: Receiver<()>,
}

impl Listener {
    pub(super) fn new(mut stderr: impl Read + Send + 'static) -> Listener {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (end, ended) = channel();
        let kept = tail.clone();
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                kept.lock().expect("no holder of this lock panics").push(&buffer[..count]);
            }
            // Nobody may be waiting any more.
            let _ = end.send(());
        });
        Listener { tail, ended }
    }

    /// The last lines, after the command has ended.
    pub(super) fn lines(&self, secrets: &[Secret]) -> Vec<String> {
        // Whether it has come to its end or not, what there is by now is told.
        let _ = self.ended.recv_timeout(PATIENCE);
        self.tail.lock().expect("no holder of this lock panics").lines(secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_cut_in_two_is_not_shown() {
        let secret = [Secret::new("correct-horse-battery".to_owned())];
        for separator in ["\n", ""] {
            let mut tail = Tail::default();
            tail.push(b"correct-horse-battery");
            tail.push(separator.as_bytes());
            tail.push("x".repeat(KEPT - 10).as_bytes());
            let shown = tail.lines(&secret).join("\n");
            assert!(!shown.contains("battery") && !shown.contains("tery") && shown.contains("xxx"), "{separator:?}: {}", &shown[..40]);
        }
    }

    #[test]
    fn secrets_are_hidden_whole_and_by_line_and_only_the_last_lines_are_shown() {
        let secret = [Secret::new("first-line-of-key\nsecond-line-of-key".to_owned()), Secret::new("pw".to_owned()), Secret::new(String::new())];
        let mut tail = Tail::default();
        for n in 0..50 {
            tail.push(format!("line {n} pw second-line-of-key\n").as_bytes());
        }
        let shown = tail.lines(&secret);
        assert_eq!((shown.len(), shown[0].as_str(), shown[19].as_str()), (LINES, "line 30 [secret] [secret]", "line 49 [secret] [secret]"));
    }
}
