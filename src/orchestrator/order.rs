//! Orders that people give to a run: numbered objects beside its journal, each written once. Format: docs/format/journal.md.
//!
//! They do not stand in the journal, because who writes there takes the run over. The run reads them, journals each, and obeys.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{OrchestratorError, journal::signed_line};
use crate::{
    model::{RunId, StepId, Timestamp},
    pipeline::{MacKey, sha256},
    repository::layout,
    storage::{ErrorKind, ObjectStore, Put, PutOptions},
};

/// How often a run looks for the next order.
const EVERY: Duration = Duration::from_secs(1);
/// How often other people may be faster.
const MOST_RACES: usize = 1000;
/// Longest name and longest reason, in characters.
const WORDS_MAX: usize = 500;

/// A name or a reason, as people give it: one line.
///
/// # Errors
/// It says nothing, is too long, or has several lines.
pub fn words(text: &str) -> Result<String, String> {
    let text = text.trim();
    match (1..=WORDS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("write 1 to {WORDS_MAX} characters on one line")),
    }
}

/// One numbered order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Version of the format: 1.
    pub format: u32,
    /// To which run.
    pub run: RunId,
    /// From 1, without gaps.
    pub number: u64,
    /// When it was given.
    pub written: Timestamp,
    /// Who gave it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What is to be done.
    pub bend: Bend,
}

/// How a run is bent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Bend {
    /// Try a step again that did not succeed.
    Retry {
        /// Which.
        step: StepId,
    },
    /// Go on without a step.
    Skip {
        /// Which.
        step: StepId,
    },
    /// Take a step as done: a person did it.
    Done {
        /// Which.
        step: StepId,
    },
    /// Answer the question of a step with yes.
    Approve {
        /// Which.
        step: StepId,
    },
    /// Give a value another text, for what has not begun.
    Set {
        /// A variable, or `step.output`.
        name: String,
        /// The text.
        value: String,
    },
    /// End the run at a safe point.
    Abort {
        /// Whether to take back what commands with `undo` did.
        undo: bool,
    },
}

impl Bend {
    /// The step that it is about.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Bend::Retry { step } | Bend::Skip { step } | Bend::Done { step } | Bend::Approve { step } => Some(step),
            Bend::Set { .. } | Bend::Abort { .. } => None,
        }
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Bend::Retry { step } => format!("retry {step}"),
            Bend::Skip { step } => format!("skip {step}"),
            Bend::Done { step } => format!("{step} is done"),
            Bend::Approve { step } => format!("approve {step}"),
            Bend::Set { name, .. } => format!("set {name}"),
            Bend::Abort { undo: false } => "abort".to_owned(),
            Bend::Abort { undo: true } => "abort and undo".to_owned(),
        }
    }
}

/// Where the orders to a run are, and the key that authenticates them.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The control store.
    pub store: Arc<dyn ObjectStore>,
    /// The journal's key.
    pub key: MacKey,
    /// How long the run waits for orders when nothing else is left to do.
    pub patience: Duration,
}

/// The next order, if there is one.
enum Next {
    Order(Order),
    Nothing,
    /// What lies there was not written by a holder of the key.
    Foreign,
}

impl Desk {
    async fn read(&self, run: &RunId, number: u64) -> Result<Next, OrchestratorError> {
        let bytes = match self.store.get(&layout::order(run, number), None).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Next::Nothing),
            Err(error) => return Err(OrchestratorError::journal(run)(error)),
        };
        let order =
            signed_line::decode::<Order>(&bytes, &self.key).ok().filter(|order| order.format == 1 && order.run == *run && order.number == number);
        Ok(order.map_or(Next::Foreign, Next::Order))
    }

    /// Gives an order under the first free number after `taken`.
    ///
    /// # Errors
    /// When the control store does not take it.
    pub async fn give(&self, run: &RunId, taken: u64, order: Order) -> Result<u64, OrchestratorError> {
        let mut order = order;
        for number in (taken + 1..).take(MOST_RACES) {
            order.number = number;
            let body = Bytes::from(signed_line::encode(&order, &self.key));
            let options = PutOptions { sha256: sha256(&body), retain_until: None };
            let key = layout::order(run, number);
            let put = self.store.put_new(&key, body.clone(), &options).await.map_err(OrchestratorError::journal(run))?;
            if put == Put::Created || self.store.get(&key, None).await.map_err(OrchestratorError::journal(run))? == body {
                return Ok(number);
            }
        }
        Err(OrchestratorError::LostRun { run: run.clone() })
    }

    /// The orders after number `taken` that are there already.
    ///
    /// # Errors
    /// When the control store does not answer.
    pub(super) async fn waiting(&self, run: &RunId, taken: u64) -> Result<Vec<Order>, OrchestratorError> {
        let mut found = Vec::new();
        for number in taken + 1.. {
            match self.read(run, number).await? {
                Next::Order(order) => found.push(order),
                Next::Foreign => {}
                Next::Nothing => break,
            }
        }
        Ok(found)
    }

    /// Reads the orders after number `taken` until nobody listens: about one look per second. A store that is out of reach is asked again.
    pub(super) fn listen(&self, run: &RunId, taken: u64) -> mpsc::Receiver<Order> {
        let (send, orders) = mpsc::channel(1);
        let (desk, run, mut next) = (self.clone(), run.clone(), taken + 1);
        tokio::spawn(async move {
            while !send.is_closed() {
                match desk.read(&run, next).await {
                    Ok(Next::Order(order)) => {
                        next += 1;
                        if send.send(order).await.is_err() {
                            return;
                        }
                    }
                    // Somebody else's, which means nothing; the next number may be ours.
                    Ok(Next::Foreign) => next += 1,
                    Ok(Next::Nothing) | Err(_) => tokio::time::sleep(EVERY).await,
                }
            }
        });
        orders
    }
}
