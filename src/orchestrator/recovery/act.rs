//! Does one step of a recovery.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Tools,
    command::{Call, lookup_plain, outputs},
    leftovers,
    probe::{once, probe},
    screen,
};
use crate::{
    model::{Action, Ask, Command, Context, Destination, Event, Outcome, Probe, Problem, Question, Step, StepId, outcome::advise},
    orchestrator::{
        execute::Run,
        output::{Output, StepEnd},
        perform::{Wanted, cancelled, restore},
        runbook::values::fill_action,
    },
    sources::{self, SourceError},
};

/// Longest wait before a step is tried again.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often a question looks for its answer.
const ANSWER_EVERY: Duration = Duration::from_millis(200);

/// Does a step, again after a failure as often as its runbook says.
pub async fn act(run: Arc<Run>, step: Step, tools: &Tools, ctx: &Context) -> StepEnd {
    let recovery = run.snapshot().plan.recovery;
    let retries = recovery.and_then(|recovery| recovery.terms.get(&step.id).map(|terms| terms.retries)).unwrap_or(0);
    let doing = Doing { run: &run, step: &step.id, tools, ctx };
    for attempt in 0.. {
        let end = doing.once(&step.action).await;
        match &end.0 {
            Outcome::Failed { problem } if attempt < retries && !ctx.cancel.is_draining() => {
                let text = format!("  {}: failed, attempt {} of {}: {}", step.id, attempt + 1, retries + 1, problem.what);
                ctx.observer.event(&Event::Note { text });
            }
            _ => return end,
        }
        tokio::time::sleep(Duration::from_secs(1 << attempt.min(5)).min(RETRY_MAX)).await;
    }
    unreachable!("the last attempt returns")
}

/// Takes back what a command did.
///
/// # Errors
/// Why not.
pub(super) async fn undo(run: &Arc<Run>, step: &StepId, command: &Command, tools: &Tools, ctx: &Context) -> Result<(), String> {
    let doing = Doing { run, step, tools, ctx };
    let action = doing.filled(&Action::Command { command: command.clone() })?;
    let command = action.command().expect("it is a command");
    doing.call(&command.undo, command)?.run(ctx).await.map(drop).map_err(|error| advise(&error, error.hint()))
}

struct Doing<'a> {
    run: &'a Arc<Run>,
    step: &'a StepId,
    tools: &'a Tools,
    ctx: &'a Context,
}

impl Doing<'_> {
    fn filled(&self, action: &Action) -> Result<Action, String> {
        let state = self.run.snapshot();
        fill_action(action, &|name| lookup_plain(&state, name, &self.tools.secrets))
    }

    fn failed(&self, what: String) -> StepEnd {
        (Outcome::Failed { problem: Problem { subject: self.step.to_string(), what } }, Output::Nothing)
    }

    async fn once(&self, action: &Action) -> StepEnd {
        let action = match self.filled(action) {
            Ok(action) => action,
            Err(what) => return self.failed(what),
        };
        let is_probe = matches!(action, Action::Probe { .. });
        let done = match action {
            Action::Restore { member, select, to, overwrite, .. } => {
                let Some(point) = &self.tools.point else { return self.failed("this run has no recovery point".to_owned()) };
                // One value serves one restore.
                let source = match &to {
                    Destination::System { source, .. } => self.tools.config.sources.get(source).map(|config| (source.clone(), sources::open(config))),
                    Destination::Directory(_) => None,
                };
                let sources: BTreeMap<_, _> = source.into_iter().collect();
                let wanted = Wanted { point, sources: &sources, member: &member, select, to, overwrite };
                return restore(Arc::clone(self.run), self.step, wanted, self.ctx).await;
            }
            Action::Approve { question } => return self.ask(&question).await,
            Action::Protect { policy } => match (self.tools.protect)(policy, self.ctx.cancel.clone()).await {
                Ok((point, outcome)) => return (outcome, point.map_or(Output::Nothing, |point| Output::Point { point })),
                Err(problem) => return self.failed(problem.what),
            },
            Action::Fence { command, proof, attest } => return self.fence(command, proof, attest).await,
            Action::Command { command } => self.command(&command).await,
            Action::Probe { probe } => self.probe(&probe).await.map(|after| Output::Answered { before: None, after }),
            Action::Switch { command, proof } => self.switch(&command, &proof).await,
            Action::OpenEpoch { .. } | Action::Open { .. } | Action::ResumeWriters | Action::Capture { .. } | Action::Commit { .. } => {
                Err("this is a step of a backup".to_owned())
            }
            Action::Compare { .. } => Err("no step of a runbook compares alone".to_owned()),
        };
        match done {
            Ok(output) => (Outcome::Succeeded, output),
            Err(_) if self.ctx.cancel.is_stopped() || (is_probe && self.ctx.cancel.is_draining()) => cancelled(),
            Err(what) => self.failed(what),
        }
    }

    fn call(&self, argv: &[String], command: &Command) -> Result<Call, String> {
        Call::new(argv, command, &self.run.snapshot(), self.step, &self.tools.secrets)
    }

    /// Runs a command, unless its check says that it is done.
    async fn command(&self, command: &Command) -> Result<Output, String> {
        let (run, step) = (self.run.snapshot().plan.run, self.step.clone());
        let ended = tokio::task::spawn_blocking(move || leftovers::end(&run, &step)).await;
        if !ended.is_ok_and(|ended| ended) {
            return Err("what an earlier process of this step left running cannot be ended".to_owned());
        }
        let run = self.run.snapshot().plan.run;
        let words = |error: SourceError| advise(&error, error.hint());
        if !command.check.is_empty() {
            match self.call(&command.check, command)?.run(self.ctx).await {
                Ok(printed) => return outputs(command, &run, self.step, &printed, true, &self.tools.secrets),
                // It is not done yet.
                Err(SourceError::Command { .. }) => {}
                Err(error) => return Err(format!("its check: {}", words(error))),
            }
        }
        let printed = self.call(&command.run, command)?.run(self.ctx).await.map_err(words)?;
        outputs(command, &run, self.step, &printed, false, &self.tools.secrets)
    }

    fn asking(&self, probe: &Probe) -> impl Fn() -> Result<Call, String> {
        let command = if let Ask::Command(command) = &probe.ask { Some(command.clone()) } else { None };
        move || command.as_ref().map_or(Err("it is no command".to_owned()), |command| self.call(&command.run, command))
    }

    async fn probe(&self, asked: &Probe) -> Result<String, String> {
        probe(asked, self.asking(asked), self.ctx).await
    }

    async fn switch(&self, command: &Command, proof: &Probe) -> Result<Output, String> {
        let before = once(&proof.ask, &self.asking(proof), self.ctx).await.unwrap_or_else(|why| why);
        self.command(command).await?;
        Ok(Output::Answered { before: Some(before), after: self.probe(proof).await? })
    }

    async fn fence(&self, command: Option<Command>, proof: Option<Probe>, attest: Option<Question>) -> StepEnd {
        let proven = async {
            if let Some(command) = &command {
                self.command(command).await?;
            }
            match &proof {
                Some(proof) => self.probe(proof).await.map(Some),
                None => Ok(None),
            }
        };
        match (proven.await, attest) {
            (Ok(Some(after)), _) => (Outcome::Succeeded, Output::Answered { before: None, after }),
            (Ok(None), Some(question)) => self.ask(&question).await,
            (Err(why), Some(question)) => {
                let text = format!("{} (it could not be proved: {why})", question.text);
                self.ask(&Question { text, by: question.by }).await
            }
            (Ok(None), None) => self.failed("nothing proves it".to_owned()),
            (Err(why), None) => self.failed(why),
        }
    }

    /// Waits for a person's yes.
    async fn ask(&self, question: &Question) -> StepEnd {
        self.ctx.observer.event(&Event::Note { text: screen::asked(&self.run.snapshot(), self.step, question) });
        let began = Instant::now();
        loop {
            if let Some(by) = self.run.answer(self.step) {
                return (Outcome::Succeeded, Output::Decided { by });
            }
            if self.ctx.cancel.is_draining() {
                return cancelled();
            }
            if began.elapsed() >= self.tools.patience {
                let what = format!("nobody has answered: {}", question.text);
                return (Outcome::Stuck { problem: Problem { subject: self.step.to_string(), what } }, Output::Nothing);
            }
            tokio::time::sleep(ANSWER_EVERY).await;
        }
    }
}
