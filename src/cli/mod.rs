//! The outside: commands, options, output, exit codes. One file per command; a command asks the layers below and reports.

pub mod backup;
mod chart;
pub mod completions;
pub mod config;
pub mod copy;
pub mod coverage;
pub mod daemon;
pub mod demo;
pub mod error;
pub mod exit;
pub mod expire;
mod first;
pub mod globals;
pub mod init;
pub mod keys;
pub mod kit;
pub mod man;
mod mirrors;
pub mod notify;
mod observe;
pub mod output;
mod page;
pub mod points;
pub mod promote;
pub mod prune;
pub mod ready;
pub mod record;
pub mod recover;
pub mod repo;
pub mod restore;
pub mod restore_test;
pub mod runbook;
pub mod runs;
pub mod schedule;
mod signals;
pub mod status;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod worker;

use std::{ffi::OsString, time::Duration};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

pub use error::CliError;
pub use exit::ExitCode;
pub use globals::{Colour, Globals, OutputFormat};
pub use output::Report;

/// How long work that was told to stop may take to end the commands that it began.
const LAST: Duration = Duration::from_secs(5);
/// How long a thread that may block is kept without work. The runtime wakes them in turn, so with its 10 seconds a daemon that asks a directory
/// now and then keeps as many as it ever needed at once, and their stacks.
const IDLE: Duration = Duration::from_secs(1);
const AFTER: &str = "\
Exit status: 0 succeeded, 1 failed, 2 wrong use or configuration, 3 incomplete, 4 cancelled, 5 stuck (a person is needed), 6 damage or forgery found.

With --output json the result is one line on standard output, errors included:
  {\"format\":1,\"command\":\"…\",\"outcome\":\"succeeded\",\"exit_code\":0,\"data\":{…},\"problems\":[…],\"error\":null}

Example:
  hourglass config example directory > hourglass.yaml
  hourglass init";

/// Protect API-management platforms, and rebuild them in another region against a clock
#[derive(Debug, Parser)]
#[command(name = "hourglass", version, arg_required_else_help = true, after_long_help = AFTER, max_term_width = 120)]
pub struct Cli {
    /// Options of every command
    #[command(flatten)]
    pub globals: Globals,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each has its help in its own file")]
pub enum Command {
    Init(init::InitArgs),
    Keys(keys::KeysArgs),
    Backup(backup::BackupArgs),
    Points(points::PointsArgs),
    Copy(copy::CopyArgs),
    Coverage(coverage::CoverageArgs),
    Ready(ready::ReadyArgs),
    Restore(restore::RestoreArgs),
    RestoreTest(restore_test::RestoreTestArgs),
    Recover(recover::RecoverArgs),
    Promote(promote::PromoteArgs),
    Kit(kit::KitArgs),
    Runbook(runbook::RunbookArgs),
    Runs(runs::RunsArgs),
    Daemon(daemon::DaemonArgs),
    Schedule(schedule::ScheduleArgs),
    Status(status::StatusArgs),
    Notify(notify::NotifyArgs),
    Verify(verify::VerifyArgs),
    Worker(worker::WorkerArgs),
    Expire(expire::ExpireArgs),
    Prune(prune::PruneArgs),
    Record(record::RecordArgs),
    Demo(demo::DemoArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the program with `argv`, whose first part is the program's name.
pub fn main(argv: Vec<OsString>) -> std::process::ExitCode {
    let exit = match Cli::command().try_get_matches_from(&argv) {
        Ok(matches) => {
            let command = path_of(&matches);
            let cli = Cli::from_arg_matches(&matches).expect("clap has checked these matches against the same definition");
            if first::is_needed(&cli.command) {
                match first::wait_for_child(&argv) {
                    Ok(exit) => return exit,
                    Err(error) => output::finish(&command, Err(CliError::from_error(ExitCode::Failed, "child", &error)), &cli.globals),
                }
            } else {
                start(cli, &command)
            }
        }
        Err(error) => refused(&error, &argv),
    };
    exit.into()
}

fn start(cli: Cli, command: &str) -> ExitCode {
    let globals = cli.globals.clone();
    // What a daemon says is read by programs.
    let is_daemon = matches!(cli.command, Command::Daemon(_));
    if let Err(error) = log(&globals, is_daemon) {
        return output::finish(command, Err(error), &globals);
    }
    if is_daemon {
        crate::daemon::heap::share();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_keep_alive(IDLE).build() {
        Ok(runtime) => runtime,
        Err(error) => return output::finish(command, Err(CliError::from_error(ExitCode::Failed, "runtime", &error)), &globals),
    };
    let result = runtime.block_on(async {
        signals::listen(globals.cancel.clone(), globals.quiet || is_daemon)
            .map_err(|error| CliError::from_error(ExitCode::Failed, "signals", &error))?;
        if globals.until_stdin_ends {
            signals::leash(globals.cancel.clone());
        }
        tokio::select! {
            result = Box::pin(dispatch(cli.command, &globals)) => result,
            () = globals.cancel.stopped() => Err(CliError::new(ExitCode::Cancelled, "cancelled", "stopped before a safe point")
                .hint("`hourglass runs list` shows how to go on")),
        }
    });
    // Work that was told to stop has to end the commands that it began: one that is left behind would take the end of its input for a regular one.
    // Nothing else is waited for.
    runtime.shutdown_timeout(if globals.cancel.is_stopped() { LAST } else { Duration::ZERO });
    output::finish(command, result, &globals)
}

async fn dispatch(command: Command, globals: &Globals) -> Result<Report, CliError> {
    match command {
        Command::Init(args) => init::run(args, globals).await,
        Command::Keys(args) => keys::run(args, globals).await,
        Command::Backup(args) => backup::run(args, globals).await,
        Command::Restore(args) => restore::run(args, globals).await,
        Command::RestoreTest(args) => restore_test::run(args, globals).await,
        Command::Recover(args) => recover::run(args, globals).await,
        Command::Promote(args) => promote::run(args, globals).await,
        Command::Kit(args) => kit::run(args, globals).await,
        Command::Runbook(args) => runbook::run(args, globals).await,
        Command::Runs(args) => runs::run(args, globals).await,
        Command::Daemon(args) => daemon::run(args, globals).await,
        Command::Schedule(args) => schedule::run(args, globals).await,
        Command::Status(args) => status::run(args, globals).await,
        Command::Notify(args) => notify::run(args, globals).await,
        Command::Points(args) => points::run(args, globals).await,
        Command::Copy(args) => copy::run(args, globals).await,
        Command::Ready(args) => ready::run(args, globals).await,
        Command::Coverage(args) => coverage::run(args, globals).await,
        Command::Verify(args) => verify::run(args, globals).await,
        Command::Worker(args) => worker::run(args, globals).await,
        Command::Expire(args) => expire::run(args, globals).await,
        Command::Prune(args) => prune::run(args, globals).await,
        Command::Record(args) => record::run(args, globals).await,
        Command::Demo(args) => demo::run(args, globals).await,
        Command::Config(args) => config::run(args, globals).await,
        Command::Completions(args) => completions::run(args, globals).await,
        Command::Man(args) => man::run(args, globals).await,
    }
}

/// The names of the chosen commands, for example `points list`.
fn path_of(matches: &ArgMatches) -> String {
    let mut names = Vec::new();
    let mut next = matches.subcommand();
    while let Some((name, inner)) = next {
        names.push(name);
        next = inner.subcommand();
    }
    names.join(" ")
}

/// Help and version are results; everything else that the parser refuses is a wrong use.
fn refused(error: &clap::Error, argv: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        output::to_stdout(&error.render().to_string());
        return ExitCode::Succeeded;
    }
    let words: Vec<String> = argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let json = words.iter().any(|word| word == "--output=json") || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    let rendered = error.render().to_string();
    if !json {
        output::to_stderr(&rendered);
        return ExitCode::Usage;
    }
    let message = rendered.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")).filter(|line| !line.is_empty());
    let message = message.collect::<Vec<_>>().join("; ");
    let usage = CliError::usage(message.strip_prefix("error: ").unwrap_or(&message)).hint("--help explains the command");
    output::finish(&words_of_command(&words), Err(usage), &Globals { output: OutputFormat::Json, ..Globals::default() })
}

/// As many words as name a command, when the parser got no further.
fn words_of_command(words: &[String]) -> String {
    let root = Cli::command();
    let mut command = &root;
    let mut names = Vec::new();
    for word in words.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(word) {
            names.push(word.as_str());
            command = inner;
        }
    }
    names.join(" ")
}

fn log(globals: &Globals, is_daemon: bool) -> Result<(), CliError> {
    // Drivers log as errors what they then return, and we say, once more or after another try.
    let filter = if globals.log == "error" { "error,scylla=off,kube_client=off" } else { &globals.log };
    let filter = tracing_subscriber::EnvFilter::builder().parse(filter).map_err(|error| {
        CliError { causes: vec![error.to_string()], ..CliError::usage(format!("{:?} is not a valid log filter", globals.log)) }
            .hint("use a level (error, warn, info, debug, trace) or module=level, separated by commas")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(globals.colours(false));
    match globals.output == OutputFormat::Json || is_daemon {
        true => builder.json().init(),
        false => builder.init(),
    }
    Ok(())
}
