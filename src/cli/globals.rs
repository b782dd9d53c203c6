//! Options of every command, and what follows from them: the configuration and the context.

use std::{env, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};

use super::{CliError, observe};
use crate::{
    config::{self, Config, ConfigError},
    model::{Cancel, Context, Observer, Quiet},
};

/// How results are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Words for people.
    #[default]
    Text,
    /// One JSON envelope on standard output, events as JSON lines on standard error.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// When standard error is a terminal and `NO_COLOR` is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Configuration file; otherwise ./hourglass.yaml, then $XDG_CONFIG_HOME/hourglass/hourglass.yaml
    #[arg(long, global = true, env = "HOURGLASS_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// How to give the result: in words, or as one JSON envelope
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to log to standard error, for example debug or hourglass::storage=trace
    #[arg(long, global = true, env = "HOURGLASS_LOG", default_value = "error", value_name = "FILTER", hide_env_values = true)]
    pub log: String,
    /// When to colour messages
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Colour,
    /// Stop when standard input ends: for a program that must not be outlived
    #[arg(long, global = true, hide = true)]
    pub until_stdin_ends: bool,
    /// Raised by signals.
    #[arg(skip)]
    pub cancel: Cancel,
    /// Who is told of progress instead of the usual displays: for a command that runs others.
    #[arg(skip)]
    pub observer: Option<Arc<dyn Observer>>,
}

impl Globals {
    /// Where the configuration is: as asked for, or the first of the usual places that has one.
    ///
    /// # Errors
    /// None of the usual places has one.
    pub fn config_path(&self) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let places: Vec<PathBuf> =
            [Some(PathBuf::from("hourglass.yaml")), xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("hourglass/hourglass.yaml"))]
                .into_iter()
                .flatten()
                .collect();
        places.iter().find(|path| path.exists()).cloned().ok_or(ConfigError::NotFound(places))
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// There is none, or it is wrong.
    pub fn load_config(&self) -> Result<Config, CliError> {
        Ok(config::load(&self.config_path()?, default_state_dir())?)
    }

    /// The context for long work: this process's clock, signals and progress display.
    pub fn context(&self) -> Context {
        let observer: Arc<dyn Observer> = match (&self.observer, self.output, self.quiet) {
            (Some(observer), ..) => Arc::clone(observer),
            (None, _, true) => Arc::new(Quiet),
            (None, OutputFormat::Json, false) => Arc::new(observe::JsonLines),
            (None, OutputFormat::Text, false) => observe::for_people(),
        };
        Context { observer, cancel: self.cancel.clone(), ..Context::default() }
    }

    /// Whether to colour what goes to a stream that is (not) a `terminal`.
    pub fn colours(&self, terminal: bool) -> bool {
        match self.color {
            Colour::Auto => terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Colour::Always => true,
            Colour::Never => false,
        }
    }
}

/// A folder of the XDG specification, which ignores relative ones.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let home = || env::var_os("HOME").map(PathBuf::from).and_then(absolute).map(|home| home.join(below_home));
    env::var_os(variable).map(PathBuf::from).and_then(absolute).or_else(home)
}

/// Where state lies when the configuration does not say; without a home directory we are in a container.
pub(super) fn default_state_dir() -> PathBuf {
    xdg("XDG_STATE_HOME", ".local/state").map_or(PathBuf::from("/var/lib/hourglass"), |dir| dir.join("hourglass"))
}
