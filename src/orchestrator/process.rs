//! Which process runs something, and whether it is provably gone.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process of one boot of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The machine's lasting id; of a container without one, its host name.
    pub machine: String,
    /// The boot.
    pub boot: String,
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks after boot: tells a reused process id.
    pub started: u64,
}

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs on this machine.
    Alive,
    /// It cannot run any more: this machine has rebooted, or the process id is free or reused.
    Gone,
    /// It belongs to another machine; nothing here can tell.
    Unknown,
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn start_ticks(pid: u32) -> Option<u64> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // A zombie has ended; its id is merely not free yet.
    (fields.first() != Some(&"Z")).then(|| fields.get(19)?.parse().ok())?
}

impl Process {
    /// This process.
    pub fn current() -> Process {
        let machine = read("/etc/machine-id").or_else(|| read("/proc/sys/kernel/hostname")).unwrap_or_else(|| "unknown".to_owned());
        let pid = std::process::id();
        let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Process { machine, boot, pid, started: start_ticks(pid).unwrap_or(0) }
    }

    /// Whether it still runs, seen from this machine.
    pub fn life(&self) -> Life {
        let here = Process::current();
        if self.machine != here.machine {
            return Life::Unknown;
        }
        match self.boot == here.boot && start_ticks(self.pid) == Some(self.started) {
            true => Life::Alive,
            false => Life::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_then_gone_and_never_guessed() {
        assert_eq!(Process::current().life(), Life::Alive);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Process { pid: child.id(), started: start_ticks(child.id()).unwrap(), ..Process::current() };
        assert_eq!(other.life(), Life::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(other.life(), Life::Gone);
        assert_eq!(Process { started: 1, ..Process::current() }.life(), Life::Gone);
        assert_eq!(Process { machine: "elsewhere".into(), ..Process::current() }.life(), Life::Unknown);
    }
}
