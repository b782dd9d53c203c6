//! From the file as written to what the code uses: names, URLs, durations and references are checked here, each once.

mod analytics;
mod cassandra;
mod daemon;
mod images;
mod kubernetes;
mod mysql;
mod notify;
mod policies;
mod ready;
mod stores;
mod tasks;
mod volumes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::{
    error::ConfigProblem,
    file::{File, FileCommand, FileFiles, FileSource},
    resolved::{CommandConfig, Config, FilesConfig, SourceConfig},
    span::parse_duration,
    tree::Node,
    volumes::SiteConfig,
};
use crate::model::MemberName;

/// What resolving needs besides the file.
pub(super) struct Place<'a> {
    /// The file itself.
    pub path: &'a Path,
    /// The same document with places.
    pub tree: &'a Node,
    /// Where state lies when the file does not say.
    pub state_dir: PathBuf,
}

const DAY: Duration = Duration::from_secs(86_400);

struct Resolver<'a> {
    place: &'a Place<'a>,
    problems: Vec<ConfigProblem>,
}

/// Resolves `file`, or says all that is wrong with it.
pub(super) fn resolve(file: File, place: &Place<'_>) -> Result<Config, Vec<ConfigProblem>> {
    let mut r = Resolver { place, problems: Vec::new() };
    let site = r.parse("site", &file.site);
    let trust_root = file.trust_root.and_then(|key| r.trust_root(key));
    let locations = r.locations(file.locations);
    let control = r.store("control", file.control);
    if control.as_ref().is_some_and(|control| control.lock.is_some()) {
        r.say("control.lock", "the control store may not be locked: its objects are deleted when a run is over");
    }
    if let (Some(control), Some(same)) = (&control, locations.iter().find(|(_, store)| Some(&store.url) == control.as_ref().map(|c| &c.url))) {
        r.say("control.url", &format!("{} is the location {:?} too; the control store needs a place of its own", control.url, same.0));
    }
    let names: Vec<String> = file.sources.keys().cloned().collect();
    let capture_key_file = r.path(file.capture_key_file);
    let operator_key_file = file.operator_key_file.map(|path| r.path(path));
    let known = site.clone().zip(control.clone()).map(|(site, control)| SiteConfig {
        site,
        trust_root: trust_root.clone(),
        locations: locations.clone(),
        control,
        capture_key_file: capture_key_file.clone(),
        operator_key_file: operator_key_file.clone(),
    });
    let sources = r.sources(file.sources, known.as_ref());
    r.mirrors(&sources, &locations);
    let policies = r.policies(file.policies, &names);
    let known = tasks::Known {
        locations: &locations,
        policies: policies.keys().map(ToString::to_string).collect(),
        sources: &names,
        has_operator: operator_key_file.is_some(),
    };
    let tasks = r.tasks(file.tasks, &known);
    r.excluded(&file.excluded, &names);
    let ready = r.ready(file.ready.unwrap_or_default(), &known, &sources);
    let state_dir = file.state_dir.map_or(place.state_dir.clone(), |path| r.path(path));
    let daemon = r.daemon(file.daemon.unwrap_or_default(), site.as_ref());
    let notify = r.notify(file.notify.unwrap_or_default());
    let pushgateway = file.pushgateway.and_then(|written| r.pushgateway(written));
    match (site, control) {
        (Some(site), Some(control)) if r.problems.is_empty() => Ok(Config {
            path: place.path.to_owned(),
            site,
            trust_root,
            locations,
            control,
            capture_key_file,
            operator_key_file,
            state_dir,
            daemon,
            notify,
            pushgateway,
            sources,
            policies,
            ready,
            excluded: file.excluded,
            tasks,
        }),
        _ => {
            r.problems.sort_by_key(|problem| (problem.line, problem.column));
            Err(r.problems)
        }
    }
}

impl Resolver<'_> {
    /// Notes that the value at `path` (keys joined by dots) is wrong.
    fn say(&mut self, path: &str, what: &str) {
        let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
        let (line, column) = self.place.tree.locate(&parts);
        self.problems.push(ConfigProblem { line, column, path: path.to_owned(), what: what.to_owned() });
    }

    fn parse<T: FromStr>(&mut self, path: &str, text: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error: T::Err| self.say(path, &error.to_string())).ok()
    }

    fn duration(&mut self, path: &str, text: Option<String>) -> Option<Duration> {
        text.and_then(|text| parse_duration(&text).map_err(|what| self.say(path, &what)).ok())
    }

    /// Relative paths start at the folder of the configuration.
    fn path(&self, text: String) -> PathBuf {
        self.place.path.parent().unwrap_or(Path::new("")).join(text)
    }

    fn trust_root(&mut self, key: String) -> Option<String> {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(&key).unwrap_or_default();
        if bytes.len() == 42 && bytes.starts_with(b"Ed") {
            return Some(key);
        }
        self.say("trust_root", "expected a minisign public key of 56 characters that begins with RW, as `hourglass init` prints it");
        None
    }

    fn sources(&mut self, written: BTreeMap<String, FileSource>, site: Option<&SiteConfig>) -> BTreeMap<MemberName, SourceConfig> {
        let mut sources = BTreeMap::new();
        for (name, source) in written {
            let path = format!("sources.{name}");
            let parsed = self.parse(&path, &name);
            let source = self.source(&path, source, site);
            sources.extend(parsed.zip(source));
        }
        self.data_of_claims(&sources);
        self.logins_of_registries(&mut sources);
        Self::claims_with_files(&mut sources);
        sources
    }

    fn source(&mut self, path: &str, source: FileSource, site: Option<&SiteConfig>) -> Option<SourceConfig> {
        let FileSource { files, command, mysql, cassandra, analytics, kubernetes, volumes, images } = source;
        let mut given = Vec::new();
        given.extend(files.map(|files| Some(SourceConfig::Files(self.files(files)))));
        given.extend(command.map(|command| Some(SourceConfig::Command(self.command(&format!("{path}.command"), command)))));
        given.extend(mysql.map(|mysql| Some(SourceConfig::Mysql(self.mysql(&format!("{path}.mysql"), mysql)))));
        given.extend(cassandra.map(|cassandra| {
            let resolved = self.cassandra(&format!("{path}.cassandra"), cassandra);
            resolved.map(|config| SourceConfig::Cassandra(Box::new(config)))
        }));
        given.extend(analytics.map(|analytics| {
            let resolved = self.analytics(&format!("{path}.analytics"), analytics);
            resolved.map(|config| SourceConfig::Analytics(Box::new(config)))
        }));
        given.extend(kubernetes.map(|kubernetes| {
            let config = self.kubernetes(&format!("{path}.kubernetes"), kubernetes);
            Some(SourceConfig::Kubernetes(Box::new(config)))
        }));
        // Without a site there is no configuration, and why is said elsewhere.
        given.extend(volumes.map(|volumes| {
            let resolved = site.map(|site| self.volumes(&format!("{path}.volumes"), volumes, site));
            resolved.map(|config| SourceConfig::Volumes(Box::new(config)))
        }));
        given.extend(images.map(|images| self.images(&format!("{path}.images"), images).map(SourceConfig::Images)));
        if given.len() != 1 {
            self.say(path, "give exactly one kind of source: files, command, mysql, cassandra, analytics, kubernetes, volumes or images");
            return None;
        }
        given.pop().flatten()
    }

    fn files(&mut self, files: FileFiles) -> FilesConfig {
        FilesConfig { path: self.path(files.path), exclude: files.exclude, one_file_system: files.one_file_system }
    }

    fn command(&mut self, path: &str, command: FileCommand) -> CommandConfig {
        for (key, argv) in [("dump", &command.dump), ("load", &command.load)] {
            if argv.first().is_some_and(String::is_empty) {
                self.say(&format!("{path}.{key}.0"), "the program's name is empty");
            }
        }
        for (key, names) in [("env", command.env.keys().collect::<Vec<_>>()), ("env_files", command.env_files.keys().collect())] {
            for name in names {
                if name.is_empty() || name.contains(['=', '\0']) {
                    self.say(&format!("{path}.{key}"), &format!("{name:?} cannot be the name of an environment variable"));
                }
            }
        }
        for name in command.env_files.keys().filter(|name| command.env.contains_key(*name)) {
            self.say(&format!("{path}.env_files.{name}"), "the variable stands in env too");
        }
        CommandConfig {
            dump: command.dump,
            load: command.load,
            env: command.env,
            env_files: command.env_files.into_iter().map(|(name, file)| (name, self.path(file))).collect(),
            timeout: self.duration(&format!("{path}.timeout"), command.timeout).unwrap_or(Duration::from_secs(3600)),
            allow_empty: command.allow_empty,
            allow_unread: command.allow_unread,
            consistency: command.consistency,
        }
    }
}
