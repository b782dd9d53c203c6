//! What a channel is sent: all that it is owed, in one message.

use serde_json::{Value, json};

use super::book::{Notice, What};
use crate::{
    config::notify::WebhookForm,
    model::{Seconds, SiteName},
};

/// Longest text of one message, in bytes; a workflow of Teams takes 28 KB with what is around it.
const LONGEST: usize = 20 << 10;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The same whenever the same is sent again.
    pub id: String,
    /// In one line.
    pub subject: String,
    /// All of it.
    pub text: String,
    site: SiteName,
    notices: Vec<Notice>,
}

impl Letter {
    /// Of notices, oldest first; there is at least one.
    pub fn new(site: &SiteName, notices: Vec<Notice>) -> Letter {
        let (first, last) = (notices.first().map_or(0, |notice| notice.id), notices.last().map_or(0, |notice| notice.id));
        let lines: Vec<String> = notices.iter().map(line).collect();
        let digests = notices.iter().filter_map(|notice| notice.text.clone());
        let plain = notices.iter().zip(&lines).filter(|(notice, _)| notice.what != What::Digest).map(|(_, line)| format!("{line}\n"));
        let mut text: String = plain.chain(digests).collect();
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text += "\n… and more; see `hourglass status`\n";
        }
        Letter { id: format!("{first}-{last}"), subject: subject(site, &notices, &lines), text, site: site.clone(), notices }
    }

    /// One that says that messages arrive.
    pub fn test(site: &SiteName, channel: &str) -> Letter {
        let text = format!("This is a test of the channel {channel} of site {site}. Nothing is wrong.\n");
        Letter { id: "test".to_owned(), subject: format!("[Hourglass {site}] test"), text, site: site.clone(), notices: Vec::new() }
    }

    /// What it is made of.
    pub(super) fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// As JSON.
    pub fn json(&self, form: WebhookForm) -> Value {
        match form {
            WebhookForm::Generic => {
                json!({"format": 1, "site": self.site, "id": self.id, "subject": self.subject, "text": self.text, "notices": self.notices.iter().map(notice).collect::<Vec<_>>()})
            }
            WebhookForm::Slack => json!({"text": escaped(&format!("*{}*\n{}", self.subject, self.text))}),
            WebhookForm::Teams => {
                let block = |text: &str, weight: &str| json!({"type": "TextBlock", "text": markdown(text), "wrap": true, "weight": weight});
                let body = [block(&self.subject, "Bolder"), block(&self.text, "Default")];
                let card =
                    json!({"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body});
                json!({"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}]})
            }
        }
    }
}

/// As its receivers get it: who it is owed to is nothing to them.
fn notice(notice: &Notice) -> Value {
    json!({"id": notice.id, "at": notice.at, "what": notice.what, "condition": notice.condition, "since": notice.since, "text": line(notice)})
}

/// What a notice says, in one line.
pub(super) fn line(notice: &Notice) -> String {
    let Some(condition) = &notice.condition else { return "digest".to_owned() };
    match notice.what {
        What::Over => format!("OVER  {}: {} (it lasted {})", condition.subject, condition.text, Seconds::between(notice.since, notice.at)),
        _ => format!("{}  {}: {}", condition.severity.as_str().to_uppercase(), condition.subject, condition.text),
    }
}

fn subject(site: &SiteName, notices: &[Notice], lines: &[String]) -> String {
    const LONGEST_LINE: usize = 160;
    let count = |what: What| notices.iter().filter(|notice| notice.what == what).count();
    let (began, over) = (count(What::Began), count(What::Over));
    let said = match (notices.len(), lines) {
        (1, [line]) => line.clone(),
        _ if began + over == 0 => "digest".to_owned(),
        _ => format!("{began} begun, {over} over"),
    };
    // What others wrote (a reason, an error) may hold anything.
    let said: String = said.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST_LINE).collect();
    format!("[Hourglass {site}] {said}")
}

/// Slack takes these for links and mentions.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A card of Teams takes these for links and emphasis, and two line ends for one.
fn markdown(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\n' => out += "\n\n",
            '[' | ']' | '*' | '_' | '`' | '\\' | '#' => {
                out.push('\\');
                out.push(letter);
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::condition::{Condition, Kind};

    fn began(id: u64, text: &str) -> Notice {
        let at = "2026-11-28T12:00:00Z".parse().unwrap();
        Notice {
            id,
            at,
            what: What::Began,
            condition: Some(Condition::new(Kind::SlotFailed, &"p", text)),
            since: at,
            text: None,
            owed: ["x".to_owned()].into(),
        }
    }

    #[test]
    fn what_others_wrote_makes_no_header_link_or_mention() {
        let letter = Letter::new(&"we".parse().unwrap(), vec![began(7, "bad\r\nBcc: x@example.com <!channel> [link](http://x)")]);
        assert!(!letter.subject.contains(['\r', '\n']), "{}", letter.subject);
        assert!(letter.json(WebhookForm::Slack).to_string().contains("&lt;!channel&gt;"));
        assert!(letter.json(WebhookForm::Teams).to_string().contains("\\\\[link\\\\](http"), "{}", letter.json(WebhookForm::Teams));
        assert_eq!(letter.id, "7-7");
        assert!(!letter.json(WebhookForm::Generic).to_string().contains("owed"));
    }

    #[test]
    fn a_message_is_bounded_whatever_it_is_owed() {
        let letter = Letter::new(&"we".parse().unwrap(), (1..200).map(|id| began(id, &"ü".repeat(500))).collect());
        assert!(letter.text.len() < LONGEST + 100 && letter.subject.ends_with("199 begun, 0 over"), "{}", letter.subject);
    }
}
