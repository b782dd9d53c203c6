//! What the daemon needs, checked.

use super::Resolver;
use crate::config::{Blackout, DaemonConfig, file::FileDaemon};

/// What an address that others can reach needs.
const NO_TOKEN: &str = "everything but health asks for a token: name its file, or listen on a loopback address";

impl Resolver<'_> {
    pub(super) fn daemon(&mut self, written: FileDaemon) -> DaemonConfig {
        let listen = written.listen.and_then(|text| match text.parse::<std::net::SocketAddr>() {
            Ok(address) => Some(address),
            Err(_) => {
                self.say("daemon.listen", &format!("{text:?} is not an address and a port; write for example 127.0.0.1:9464 or 0.0.0.0:9464"));
                None
            }
        });
        let token_file = written.token_file.map(|file| self.path(file));
        if token_file.is_none() && listen.is_some_and(|address| !address.ip().is_loopback()) {
            self.say("daemon.listen", NO_TOKEN);
        }
        let identity = written.identity.filter(|identity| {
            let ok = (1..=200).contains(&identity.len()) && identity.bytes().all(|byte| byte.is_ascii_graphic());
            if !ok {
                self.say("daemon.identity", "use 1 to 200 printable ASCII characters without spaces");
            }
            ok
        });
        DaemonConfig { listen, token_file, runs_at_once: written.runs_at_once.unwrap_or(2), identity }
    }

    pub(super) fn time_zone(&mut self, path: &str, written: Option<String>) -> jiff::tz::TimeZone {
        let zone = written.unwrap_or("UTC".to_owned());
        jiff::tz::TimeZone::get(&zone).unwrap_or_else(|_| {
            self.say(&format!("{path}.time_zone"), &format!("{zone:?} is not a known time zone; use a name such as Europe/Brussels or UTC"));
            jiff::tz::TimeZone::UTC
        })
    }

    pub(super) fn blackouts(&mut self, path: &str, written: &[String]) -> Vec<Blackout> {
        let numbered = written.iter().enumerate();
        numbered.filter_map(|(i, text)| self.parse(&format!("{path}.blackouts.{i}"), text)).collect()
    }
}
