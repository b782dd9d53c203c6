//! What a command says at its end: its result on standard output, or its error on standard error, in words or as one JSON envelope:
//!
//! ```json
//! {"format":1,"command":"points list","outcome":"succeeded","exit_code":0,"data":{},"problems":[],"error":null}
//! ```
//!
//! `outcome` is `succeeded`, `failed`, `incomplete`, `cancelled`, `stuck` or `damaged`; `problems` are `{"subject","what"}`; `error` is
//! `{"kind","message","causes":[],"hint":null}`. The envelope is the only line on standard output, errors included.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::{CliError, ExitCode, Globals, OutputFormat};
use crate::model::{Outcome, Problem};

/// What a command that ran has to say.
#[must_use]
#[derive(Debug)]
pub struct Report {
    /// The exit status.
    pub exit: ExitCode,
    /// The result for programs.
    pub data: Value,
    /// The result for people; may be empty.
    pub text: String,
    /// What is wrong or missing.
    pub problems: Vec<Problem>,
}

impl Report {
    /// A success.
    pub fn new(data: impl Serialize, text: impl Into<String>) -> Report {
        let data = serde_json::to_value(data).expect("results have text keys and finite numbers");
        Report { exit: ExitCode::Succeeded, data, text: text.into(), problems: Vec::new() }
    }

    /// The same result, ended as `outcome` says.
    pub fn ended(mut self, outcome: Outcome) -> Report {
        let (exit, problems) = match outcome {
            Outcome::Succeeded => (ExitCode::Succeeded, Vec::new()),
            Outcome::Incomplete { missing } => (ExitCode::Incomplete, missing),
            Outcome::Failed { problem } => (ExitCode::Failed, vec![problem]),
            Outcome::Cancelled { reason } => (ExitCode::Cancelled, vec![Problem { subject: "run".to_owned(), what: format!("cancelled: {reason}") }]),
            Outcome::Stuck { problem } => (ExitCode::Stuck, vec![problem]),
        };
        self.exit = exit;
        self.problems.extend(problems);
        self
    }

    /// The same result with another exit status and more problems.
    pub fn found(mut self, exit: ExitCode, problems: Vec<Problem>) -> Report {
        self.exit = exit;
        self.problems.extend(problems);
        self
    }
}

/// Says how `command` ended and gives its exit status.
pub(super) fn finish(command: &str, result: Result<Report, CliError>, globals: &Globals) -> ExitCode {
    let exit = result.as_ref().map_or_else(|error| error.exit, |report| report.exit);
    match globals.output {
        OutputFormat::Json => to_stdout(&format!("{}\n", envelope(command, &result, exit))),
        OutputFormat::Text => {
            if let Ok(report) = &result {
                let newline = if report.text.is_empty() || report.text.ends_with('\n') { "" } else { "\n" };
                to_stdout(&format!("{}{newline}", report.text));
            }
            to_stderr(&for_people(&result, globals));
        }
    }
    exit
}

fn envelope(command: &str, result: &Result<Report, CliError>, exit: ExitCode) -> Value {
    let (data, problems, error) = match result {
        Ok(report) => (report.data.clone(), &report.problems, Value::Null),
        Err(error) => {
            let shown = json!({"kind": error.kind, "message": error.message, "causes": error.causes, "hint": error.hint});
            (Value::Null, &error.problems, shown)
        }
    };
    json!({
        "format": 1, "command": command, "outcome": exit.outcome(), "exit_code": exit as u8,
        "data": data, "problems": problems, "error": error,
    })
}

fn for_people(result: &Result<Report, CliError>, globals: &Globals) -> String {
    let (problems, error) = match result {
        Ok(report) => (&report.problems, None),
        Err(error) => (&error.problems, Some(error)),
    };
    let mut lines = Vec::new();
    if let Some(error) = error {
        lines.push(format!("{} {}", paint("error:", "1;31", globals), error.message));
        lines.extend(error.causes.iter().map(|cause| format!("  caused by: {cause}")));
    }
    lines.extend(problems.iter().map(|problem| format!("  {}: {}", problem.subject, problem.what)));
    if let Some(hint) = error.and_then(|error| error.hint.as_ref()) {
        lines.push(format!("{} {hint}", paint("hint:", "1;36", globals)));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn paint(text: &str, colour: &str, globals: &Globals) -> String {
    match globals.colours(std::io::stderr().is_terminal()) {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// A reader that went away (`| head`) is not an error.
pub(super) fn to_stdout(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

pub(super) fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Lines up `rows` under `head`, columns two spaces apart.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let heads = line(head.to_vec());
    rows.iter().fold(heads, |text, row| text + &line(row.iter().map(String::as_str).collect()))
}
