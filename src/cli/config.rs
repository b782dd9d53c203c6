//! `hourglass config`

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{CliError, Globals, Report};
use crate::config;

/// Check the configuration, print its schema or an example
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Example:\n  hourglass config check --config /etc/hourglass/hourglass.yaml")]
pub struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with the configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and say what it means, or all that is wrong with it
    #[command(after_long_help = "Reads only the file: no store is asked and no key is opened.\n\nExample:\n  hourglass config check")]
    Check,
    /// Print the JSON Schema of the configuration, which lets editors help
    #[command(after_long_help = "Example:\n  hourglass config schema > schema.json")]
    Schema,
    /// Print a configuration to start from; the default explains every key
    #[command(after_long_help = "Example:\n  hourglass config example s3 > hourglass.yaml")]
    Example {
        /// Which
        #[arg(value_enum, default_value_t)]
        name: Example,
    },
}

/// The examples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Example {
    /// Every key, explained.
    #[default]
    Default,
    /// A repository on a disk.
    Directory,
    /// S3, locked, with a copy in another region.
    S3,
    /// Azure Blob Storage.
    Azure,
}

/// Runs it.
///
/// # Errors
/// The configuration is missing or wrong.
pub async fn run(args: ConfigArgs, globals: &Globals) -> Result<Report, CliError> {
    match args.command {
        ConfigCommand::Check => check(globals),
        ConfigCommand::Schema => {
            let schema = config::schema();
            let text = serde_json::to_string_pretty(&schema).expect("a schema has text keys");
            Ok(Report::new(schema, text))
        }
        ConfigCommand::Example { name } => {
            let text = match name {
                Example::Default => config::EXAMPLE,
                Example::Directory => include_str!("../../config/example-directory.yaml"),
                Example::S3 => include_str!("../../config/example-s3.yaml"),
                Example::Azure => include_str!("../../config/example-azure.yaml"),
            };
            Ok(Report::new(json!({ "yaml": text }), text))
        }
    }
}

fn check(globals: &Globals) -> Result<Report, CliError> {
    let config = globals.load_config()?;
    let locations: Vec<_> = config.locations.iter().map(|(name, store)| json!({"name": name, "url": store.url.to_string()})).collect();
    let policies: Vec<_> = config
        .policies
        .iter()
        .map(|(name, policy)| {
            let members: Vec<_> = policy.members.iter().map(|(member, need)| json!({"name": member, "need": need})).collect();
            json!({"name": name, "members": members, "schedule": policy.timing.schedule.as_ref().map(ToString::to_string)})
        })
        .collect();
    let mut text = format!("{} is valid: site {}", config.path.display(), config.site);
    for (name, store) in &config.locations {
        text += &format!("\n  location {name}: {}", store.url);
    }
    text += &format!("\n  control: {}", config.control.url);
    for (name, policy) in &config.policies {
        let members: Vec<_> = policy.members.keys().map(ToString::to_string).collect();
        let when =
            policy.timing.schedule.as_ref().map_or("by hand".to_owned(), |schedule| format!("at {schedule:?}", schedule = schedule.to_string()));
        text += &format!("\n  policy {name}: {} {when}", members.join(", "));
    }
    if config.trust_root.is_none() {
        text += "\n  no trust_root yet: run `hourglass init`";
    }
    let data = json!({"path": config.path, "site": config.site, "trust_root": config.trust_root, "locations": locations,
        "control": config.control.url.to_string(), "policies": policies});
    Ok(Report::new(data, text))
}
