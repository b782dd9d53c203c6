//! What the daemon needs, checked.

use super::{DAY, Resolver};
use crate::{
    config::{DaemonConfig, LeaseConfig, LeaseKind, Timing, file::FileDaemon, lease::FileLease, resolved::DaemonTls},
    model::SiteName,
};

/// What an address that others can reach needs.
const NO_TOKEN: &str = "everything but health asks for a token or a certificate: name the file of one, or listen on a loopback address";

/// The keys of timing of a policy or a task.
pub(super) struct WrittenTiming {
    pub schedule: Option<String>,
    pub time_zone: Option<String>,
    pub jitter: Option<String>,
    pub blackouts: Vec<String>,
    pub catch_up: Option<String>,
    pub deadline: Option<String>,
    pub retries: Option<u32>,
}

impl Resolver<'_> {
    pub(super) fn daemon(&mut self, written: FileDaemon, site: Option<&SiteName>) -> DaemonConfig {
        let listen = written.listen.and_then(|text| match text.parse::<std::net::SocketAddr>() {
            Ok(address) => Some(address),
            Err(_) => {
                self.say("daemon.listen", &format!("{text:?} is not an address and a port; write for example 127.0.0.1:9464 or 0.0.0.0:9464"));
                None
            }
        });
        let token_file = written.token_file.map(|file| self.path(file));
        let order_token_file = written.order_token_file.map(|file| self.path(file));
        if order_token_file.is_some() && listen.is_none() {
            self.say("daemon.order_token_file", "nobody can give orders where nothing listens: write daemon.listen too");
        }
        let tls = written.tls.map(|tls| DaemonTls {
            cert_file: self.path(tls.cert_file),
            key_file: self.path(tls.key_file),
            client_ca_file: tls.client_ca_file.map(|file| self.path(file)),
        });
        let asks = token_file.is_some() || tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        if !asks && listen.is_some_and(|address| !address.ip().is_loopback()) {
            self.say("daemon.listen", NO_TOKEN);
        }
        let identity = written.identity.filter(|identity| {
            let ok = (1..=200).contains(&identity.len()) && identity.bytes().all(|byte| byte.is_ascii_graphic());
            if !ok {
                self.say("daemon.identity", "use 1 to 200 printable ASCII characters without spaces");
            }
            ok
        });
        let lease = self.lease(written.lease.unwrap_or_default(), site);
        DaemonConfig { listen, token_file, order_token_file, tls, runs_at_once: written.runs_at_once.unwrap_or(2), identity, lease }
    }

    fn lease(&mut self, written: FileLease, site: Option<&SiteName>) -> LeaseConfig {
        let FileLease { kind, namespace, name, kubeconfig, context } = written;
        for (key, value) in [("namespace", &namespace), ("name", &name)] {
            let fits = |text: &String| {
                let ok = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                (1..=63).contains(&text.len()) && text.bytes().all(ok) && !text.starts_with('-') && !text.ends_with('-')
            };
            if value.as_ref().is_some_and(|text| !fits(text)) {
                self.say(&format!("daemon.lease.{key}"), "use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends");
            }
        }
        let is_of_kubernetes = [&namespace, &name, &kubeconfig, &context].into_iter().any(Option::is_some);
        if kind == Some(LeaseKind::Control) && is_of_kubernetes {
            self.say("daemon.lease", "a lease in the control store has only its kind");
        }
        let name = name.unwrap_or_else(|| format!("hourglass-{}", site.map_or("", SiteName::as_str)));
        LeaseConfig { kind, namespace, name, kubeconfig: kubeconfig.map(|path| self.path(path)), context }
    }

    /// When a policy or a task runs: keys of the same names at `path`.
    pub(super) fn timing(&mut self, path: &str, written: WrittenTiming) -> Timing {
        let blackouts = written.blackouts.iter().enumerate();
        Timing {
            schedule: written.schedule.and_then(|text| self.parse(&format!("{path}.schedule"), &text)),
            time_zone: self.time_zone(&format!("{path}.time_zone"), written.time_zone),
            jitter: self.duration(&format!("{path}.jitter"), written.jitter).unwrap_or_default(),
            blackouts: blackouts.filter_map(|(i, text)| self.parse(&format!("{path}.blackouts.{i}"), text)).collect(),
            catch_up: self.duration(&format!("{path}.catch_up"), written.catch_up).unwrap_or(DAY),
            deadline: self.duration(&format!("{path}.deadline"), written.deadline).unwrap_or(DAY),
            retries: written.retries.unwrap_or(2),
        }
    }

    pub(super) fn time_zone(&mut self, path: &str, written: Option<String>) -> jiff::tz::TimeZone {
        let zone = written.unwrap_or("UTC".to_owned());
        jiff::tz::TimeZone::get(&zone).unwrap_or_else(|_| {
            self.say(path, &format!("{zone:?} is not a known time zone; use a name such as Europe/Brussels or UTC"));
            jiff::tz::TimeZone::UTC
        })
    }
}
