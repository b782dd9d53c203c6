//! Who is told what, checked.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use url::Url;

use super::Resolver;
use crate::{
    config::notify::{
        Address, Channel, FileChannel, FileNotify, FilePushgateway, FileSmtp, FileWebhook, NotifyConfig, PushgatewayConfig, Severity, SmtpConfig,
        SmtpMode, Way, WebhookConfig,
    },
    model::SiteName,
};

const DIGEST: &str = "0 7 * * *";
/// Name of the channel of Events.
const EVENTS: &str = "events";
const TIMEOUT: Duration = Duration::from_secs(30);
/// Ways to tell people.
const MOST_CHANNELS: usize = 16;

impl Resolver<'_> {
    pub(super) fn notify(&mut self, written: FileNotify) -> NotifyConfig {
        if written.channels.len() > MOST_CHANNELS {
            self.say("notify.channels", &format!("there may be {MOST_CHANNELS} at most"));
        }
        let mut channels = BTreeMap::new();
        for (name, channel) in written.channels {
            let path = format!("notify.channels.{name}");
            // A channel is named as a site is.
            if let Err(error) = name.parse::<SiteName>() {
                self.say(&path, &error.to_string().replace("site name", "name of a channel"));
            }
            if let Some(channel) = self.channel(&path, channel) {
                channels.insert(name, channel);
            }
        }
        if written.events {
            let all = Channel { way: Way::Events, least: Severity::Note, digest: false };
            if channels.insert(EVENTS.to_owned(), all).is_some() {
                self.say(&format!("notify.channels.{EVENTS}"), "this is the name of the channel of Events; take another");
            }
        }
        let usual = || DIGEST.parse().expect("it is a schedule");
        let digest = written.digest.and_then(|text| self.parse("notify.digest", &text)).unwrap_or_else(usual);
        let time_zone = self.time_zone("notify.time_zone", written.time_zone);
        NotifyConfig { channels, digest, time_zone }
    }

    fn channel(&mut self, path: &str, written: FileChannel) -> Option<Channel> {
        let way = match (written.smtp, written.webhook) {
            (Some(smtp), None) => Way::Smtp(self.smtp(&format!("{path}.smtp"), smtp)),
            (None, Some(webhook)) => Way::Webhook(self.webhook(&format!("{path}.webhook"), webhook)?),
            _ => {
                self.say(path, "give exactly one kind of channel: smtp or webhook");
                return None;
            }
        };
        Some(Channel { way, least: written.least, digest: written.digest.unwrap_or(true) })
    }

    fn smtp(&mut self, path: &str, written: FileSmtp) -> SmtpConfig {
        let host = written.host;
        if host.is_empty() || host.contains(|letter: char| letter.is_whitespace() || letter == '/' || letter.is_control()) {
            self.say(&format!("{path}.host"), &format!("{host:?} is not the name of a server"));
        }
        for (key, address) in std::iter::once(("from".to_owned(), &written.from)).chain((0..).map(|i| format!("to.{i}")).zip(&written.to)) {
            if address.parse::<lettre::message::Mailbox>().is_err() {
                self.say(&format!("{path}.{key}"), &format!("{address:?} is not an address; write for example Hourglass <hourglass@example.com>"));
            }
        }
        let login = self.login(path, written.user, written.password_file);
        if login.is_some() && written.mode == SmtpMode::None {
            self.say(&format!("{path}.mode"), "a password is not sent without TLS: use starttls or implicit, or log in as nobody");
        }
        let usual = match written.mode {
            SmtpMode::Starttls => 587,
            SmtpMode::Implicit => 465,
            SmtpMode::None => 25,
        };
        SmtpConfig {
            host,
            port: written.port.unwrap_or(usual),
            mode: written.mode,
            least_tls: written.least_tls,
            ca_file: written.ca_file.map(|file| self.path(file)),
            login,
            from: written.from,
            to: written.to,
            timeout: self.duration(&format!("{path}.timeout"), written.timeout).unwrap_or(TIMEOUT),
        }
    }

    fn webhook(&mut self, path: &str, written: FileWebhook) -> Option<WebhookConfig> {
        let address = match (written.url, written.url_file) {
            (Some(url), None) => Address::Open(self.web_address(&format!("{path}.url"), &url)?),
            (None, Some(file)) => Address::File(self.path(file)),
            _ => {
                self.say(path, "give url, or url_file where the address is a secret");
                return None;
            }
        };
        Some(WebhookConfig {
            address,
            form: written.form,
            token_file: written.token_file.map(|file| self.path(file)),
            least_tls: written.least_tls,
            ca_file: written.ca_file.map(|file| self.path(file)),
            timeout: self.duration(&format!("{path}.timeout"), written.timeout).unwrap_or(TIMEOUT),
        })
    }

    pub(super) fn pushgateway(&mut self, written: FilePushgateway) -> Option<PushgatewayConfig> {
        let login = self.login("pushgateway", written.user, written.password_file);
        let ca_file = written.ca_file.map(|file| self.path(file));
        Some(PushgatewayConfig { url: self.web_address("pushgateway.url", &written.url)?, login, ca_file })
    }

    fn login(&mut self, path: &str, user: Option<String>, password_file: Option<String>) -> Option<(String, PathBuf)> {
        if user.is_some() != password_file.is_some() {
            self.say(path, "user and password_file go together");
        }
        user.zip(password_file.map(|file| self.path(file)))
    }

    pub(super) fn web_address(&mut self, path: &str, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| {
            let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
            is_web && url.username().is_empty() && url.password().is_none()
        });
        if url.is_none() {
            self.say(path, "expected http://host or https://host, with a path where one is needed, and without user and password");
        }
        url
    }
}
