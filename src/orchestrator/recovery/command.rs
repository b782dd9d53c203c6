//! Commands of steps: their environment, their end, and what is read from what they print.

use std::collections::BTreeMap;

use serde_json::Value;

use super::SecretsKey;
use crate::{
    model::{Command, Context, OutputPlace, RunId, StepId},
    orchestrator::{
        output::Output,
        recovery::leftovers::{RUN, STEP},
        runbook::values::{Part, parts},
        state::{RunState, StepState},
    },
    sources::{CommandSource, EnvValue, SourceError, command},
};

/// Most of what a command prints that is looked at.
const PRINTED_MAX: u64 = 1 << 20;

/// A text that stands for `${…}`.
pub(super) enum Found {
    Plain(String),
    Secret(crate::model::Secret),
}

/// What a name stands for now.
///
/// # Errors
/// A sentence for the person who can give it.
pub(super) fn lookup(state: &RunState, name: &str, secrets: &SecretsKey) -> Result<Found, String> {
    let run = &state.plan.run;
    let given = state.plan.recovery.as_ref().and_then(|recovery| recovery.variables.get(name));
    if let Some(value) = given {
        return Ok(Found::Plain(value.clone()));
    }
    let unknown = || format!("the value {name} is not known; `hourglass runs set {run} {name} VALUE --who NAME --reason TEXT` gives it");
    let (step, output) = name.split_once('.').ok_or_else(unknown)?;
    let ended = step.parse::<StepId>().ok().and_then(|id| state.steps.get(&id));
    match ended {
        Some(StepState::Ended(_, Output::Values { plain, .. })) if plain.contains_key(output) => Ok(Found::Plain(plain[output].clone())),
        Some(StepState::Ended(_, Output::Values { secret, .. })) => {
            let sealed = secret.get(output).ok_or_else(unknown)?;
            secrets.open(&format!("{run}/{name}"), sealed).map(Found::Secret).ok_or_else(|| format!("{name} was encrypted by another operator's run"))
        }
        _ => Err(unknown()),
    }
}

/// The same where a secret may not stand.
pub(super) fn lookup_plain(state: &RunState, name: &str, secrets: &SecretsKey) -> Result<String, String> {
    match lookup(state, name, secrets)? {
        Found::Plain(text) => Ok(text),
        Found::Secret(_) => Err(format!("{name} is a secret and may stand in env only")),
    }
}

/// The environment of a command, values put in.
fn environment(command: &Command, state: &RunState, step: &StepId, secrets: &SecretsKey) -> Result<BTreeMap<String, EnvValue>, String> {
    let mut env =
        BTreeMap::from([(RUN.to_owned(), EnvValue::Plain(state.plan.run.to_string())), (STEP.to_owned(), EnvValue::Plain(step.to_string()))]);
    for (name, text) in &command.env {
        let (mut filled, mut is_secret) = (String::new(), false);
        for part in parts(text)? {
            match part {
                Part::Text(text) => filled += text,
                Part::Name(name) => match lookup(state, name, secrets)? {
                    Found::Plain(text) => filled += &text,
                    Found::Secret(secret) => {
                        filled += secret.expose();
                        is_secret = true;
                    }
                },
            }
        }
        let value = if is_secret { EnvValue::Secret(crate::model::Secret::new(filled)) } else { EnvValue::Plain(filled) };
        env.insert(name.clone(), value);
    }
    env.extend(command.env_files.iter().map(|(name, file)| (name.clone(), EnvValue::SecretFile(file.clone()))));
    Ok(env)
}

/// One start of a command, ready.
#[derive(Debug)]
pub(super) struct Call(CommandSource);

impl Call {
    /// `argv` in the environment of `command`.
    ///
    /// # Errors
    /// When a value is not known.
    pub fn new(argv: &[String], command: &Command, state: &RunState, step: &StepId, secrets: &SecretsKey) -> Result<Call, String> {
        let env = environment(command, state, step, secrets)?;
        let (dump, timeout) = (argv.to_vec(), Some(command.limit.duration()));
        Ok(Call(CommandSource { dump, env, timeout, allow_empty: true, ..CommandSource::default() }))
    }

    /// Runs it to its end; gives what it printed.
    ///
    /// # Errors
    /// When it cannot be started, takes too long, or its exit status is not 0.
    pub async fn run(self, ctx: &Context) -> Result<zeroize::Zeroizing<Vec<u8>>, SourceError> {
        let ctx = ctx.clone();
        let program = self.0.dump[0].clone();
        let work = tokio::task::spawn_blocking(move || command::printed(&self.0, PRINTED_MAX, &ctx));
        work.await.unwrap_or(Err(SourceError::Cancelled { program }))
    }
}

/// What the rules of a command find in what it printed.
///
/// # Errors
/// What is not there.
pub(super) fn outputs(command: &Command, run: &RunId, step: &StepId, printed: &[u8], was_done: bool, secrets: &SecretsKey) -> Result<Output, String> {
    let (mut plain, mut secret) = (BTreeMap::new(), BTreeMap::new());
    let text = String::from_utf8_lossy(printed);
    for (name, rule) in &command.outputs {
        let absent = |what: String| format!("the output {name} was not printed: {what}");
        let value = match &rule.at {
            OutputPlace::Line(number) => {
                let line = text.lines().nth(*number as usize - 1).map(str::trim).filter(|line| !line.is_empty());
                line.ok_or_else(|| absent(format!("there is nothing on line {number}")))?.to_owned()
            }
            OutputPlace::Json(pointer) => {
                let tree: Value = serde_json::from_str(&text).map_err(|error| absent(format!("it is not JSON at line {}", error.line())))?;
                match tree.pointer(pointer) {
                    Some(Value::String(text)) => text.clone(),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                    _ => return Err(absent(format!("there is no text, number or boolean at {pointer}"))),
                }
            }
        };
        match rule.secret {
            true => drop(secret.insert(name.clone(), secrets.seal(&format!("{run}/{step}.{name}"), &value))),
            false => drop(plain.insert(name.clone(), value)),
        }
    }
    Ok(Output::Values { plain, secret, was_done })
}
