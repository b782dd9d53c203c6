//! From the file as written to what the code uses: names, URLs, durations and references are checked here, each once.

mod analytics;
mod daemon;
mod images;
mod kubernetes;
mod mysql;
mod notify;
mod ready;
mod tasks;
mod volumes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::{
    StoreConfig, StoreUrl,
    cassandra::{CassandraConfig, CassandraTls, FileCassandra, FileKeyspaces, Keyspaces, patterns},
    error::{ConfigProblem, nearest},
    file::{File, FileCommand, FileFiles, FilePolicy, FileSource, FileStore},
    resolved::{CommandConfig, Config, EpochConfig, FilesConfig, Keep, PRIMARY, Pause, Policy, SourceConfig},
    schedule::Schedule,
    span::parse_duration,
    tree::Node,
    volumes::SiteConfig,
};
use crate::model::{MemberName, PolicyName, SiteName};

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

    fn locations(&mut self, written: BTreeMap<String, FileStore>) -> BTreeMap<String, StoreConfig> {
        let names: Vec<&str> = written.keys().map(String::as_str).collect();
        if !names.contains(&PRIMARY) {
            let near = nearest(PRIMARY, &names).map_or(String::new(), |near| format!("; is {near:?} meant?"));
            self.say("locations", &format!("missing key \"primary\": the location that backups go to{near}"));
        }
        let mut locations: BTreeMap<String, StoreConfig> = BTreeMap::new();
        for (name, store) in written {
            let path = format!("locations.{name}");
            if let Err(error) = name.parse::<SiteName>() {
                self.say(&path, &format!("{name:?} is not a valid location name: {}", error.rule));
            }
            let Some(store) = self.store(&path, store) else { continue };
            if let Some((other, _)) = locations.iter().find(|(_, known)| known.url == store.url && known.endpoint == store.endpoint) {
                self.say(&format!("{path}.url"), &format!("{} is the location {other:?} too", store.url));
            }
            locations.insert(name, store);
        }
        locations
    }

    fn store(&mut self, path: &str, store: FileStore) -> Option<StoreConfig> {
        let endpoint = match &store.endpoint {
            Some(text) => match text.parse::<url::Url>() {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.password().is_none() && url.username().is_empty() => Some(url),
                _ => {
                    self.say(&format!("{path}.endpoint"), "expected a URL that begins with http:// or https://, without user and password");
                    None
                }
            },
            None => None,
        };
        if store.url.contains('@') {
            self.say(&format!("{path}.url"), "credentials do not belong into a URL; use the cloud's default chain, account_key_file or sas_file");
            return None;
        }
        let url: StoreUrl = self.parse(&format!("{path}.url"), &store.url)?;
        self.store_keys(path, &url, &store);
        Some(StoreConfig {
            url,
            region: store.region,
            endpoint,
            path_style: store.path_style,
            ca_file: store.ca_file.map(|file| self.path(file)),
            lock: store.lock,
            account_key_file: store.account_key_file.map(|file| self.path(file)),
            sas_file: store.sas_file.map(|file| self.path(file)),
        })
    }

    /// A key that its kind of store does not use is a mistake, and a dangerous one where it promises a lock.
    fn store_keys(&mut self, path: &str, url: &StoreUrl, store: &FileStore) {
        let given = [
            ("region", store.region.is_some(), "s3"),
            ("path_style", store.path_style, "s3"),
            ("lock", store.lock.is_some(), "s3 azure"),
            ("account_key_file", store.account_key_file.is_some(), "azure"),
            ("sas_file", store.sas_file.is_some(), "azure"),
            ("endpoint", store.endpoint.is_some(), "s3 azure"),
            ("ca_file", store.ca_file.is_some(), "s3 azure"),
        ];
        let kind = match url {
            StoreUrl::Directory(_) => "file",
            StoreUrl::S3 { .. } => "s3",
            StoreUrl::Azure { .. } => "azure",
        };
        for (key, _, kinds) in given.iter().filter(|(_, present, kinds)| *present && !kinds.contains(kind)) {
            let kinds: Vec<String> = kinds.split(' ').map(|kind| format!("{kind}://")).collect();
            self.say(&format!("{path}.{key}"), &format!("only {} stores have this key, and the URL is {url}", kinds.join(" and ")));
        }
        if store.account_key_file.is_some() && store.sas_file.is_some() {
            self.say(&format!("{path}.sas_file"), "give account_key_file or sas_file, not both");
        }
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

    fn cassandra(&mut self, path: &str, written: FileCassandra) -> Option<CassandraConfig> {
        for point in written.contact_points.iter().filter(|point| point.is_empty() || point.contains(['/', ' '])) {
            self.say(&format!("{path}.contact_points"), &format!("{point:?} is not an address; write a host name or an IP address, without port"));
        }
        let login = match (written.user, written.password_file) {
            (Some(user), Some(file)) => Some((user, self.path(file))),
            (None, None) => None,
            _ => {
                self.say(path, "user and password_file belong together");
                None
            }
        };
        let tls = written.tls.map(|tls| {
            if tls.cert_file.is_some() != tls.key_file.is_some() {
                self.say(&format!("{path}.tls"), "cert_file and key_file belong together");
            }
            let identity = tls.cert_file.zip(tls.key_file).map(|(cert, key)| (self.path(cert), self.path(key)));
            CassandraTls { ca_file: self.path(tls.ca_file), identity }
        });
        let FileKeyspaces { include, exclude, schema_only } = written.keyspaces.unwrap_or_default();
        for (key, texts) in [("include", include.as_deref().unwrap_or_default()), ("exclude", &exclude), ("schema_only", &schema_only)] {
            if let Err(what) = patterns(texts) {
                self.say(&format!("{path}.keyspaces.{key}"), &what);
            }
        }
        let restore = written.restore.unwrap_or_default();
        for (keyspace, replication) in restore.replication.iter().filter(|(_, replication)| !replication.contains_key("class")) {
            let have: Vec<&str> = replication.keys().map(String::as_str).collect();
            self.say(&format!("{path}.restore.replication.{keyspace}"), &format!("missing key \"class\"; there is {}", have.join(", ")));
        }
        Some(CassandraConfig {
            contact_points: written.contact_points,
            port: written.port.unwrap_or(9042),
            datacentre: written.datacentre,
            login,
            tls,
            keyspaces: Keyspaces { include, exclude, schema_only },
            consistency: written.consistency.unwrap_or_default(),
            lanes: written.lanes.unwrap_or(4),
            page_rows: written.page_rows.unwrap_or(5000),
            timeout: self.duration(&format!("{path}.timeout"), written.timeout).unwrap_or(Duration::from_secs(30)),
            retries: written.retries.unwrap_or(8),
            replication: restore.replication,
            datacentres: restore.datacentres,
            skip_roles: restore.skip_roles,
        })
    }

    fn policies(&mut self, written: BTreeMap<String, FilePolicy>, sources: &[String]) -> BTreeMap<PolicyName, Policy> {
        let mut policies = BTreeMap::new();
        for (name, policy) in written {
            let path = format!("policies.{name}");
            let parsed = self.parse(&path, &name);
            let policy = self.policy(&path, policy, sources);
            policies.extend(parsed.map(|name| (name, policy)));
        }
        policies
    }

    fn policy(&mut self, path: &str, policy: FilePolicy, sources: &[String]) -> Policy {
        if policy.members.is_empty() {
            self.say(&format!("{path}.members"), "a policy needs at least one member");
        }
        let names: Vec<&str> = sources.iter().map(String::as_str).collect();
        let mut members = BTreeMap::new();
        for (name, need) in policy.members {
            if !names.contains(&name.as_str()) {
                let near = nearest(&name, &names).map_or(format!("known: {}", names.join(", ")), |near| format!("did you mean {near:?}?"));
                self.say(&format!("{path}.members.{name}"), &format!("there is no source {name:?}; {near}"));
            }
            members.extend(name.parse().ok().map(|name| (name, need)));
        }
        let keep = policy.keep.map(|keep| Keep {
            last: keep.last,
            hourly: keep.hourly,
            daily: keep.daily,
            weekly: keep.weekly,
            monthly: keep.monthly,
            yearly: keep.yearly,
        });
        if keep.is_some_and(Keep::keeps_nothing) {
            self.say(&format!("{path}.keep"), "every number is zero: nothing would be kept; leave the key out to keep everything");
        }
        let time_zone = self.time_zone(&format!("{path}.time_zone"), policy.time_zone);
        let schedule = policy.schedule.and_then(|text| self.parse::<Schedule>(&format!("{path}.schedule"), &text));
        let epoch = policy.epoch.map_or(EpochConfig::default(), |epoch| EpochConfig {
            max_age: self.duration(&format!("{path}.epoch.max_age"), epoch.max_age).unwrap_or(EpochConfig::default().max_age),
            mode: epoch.mode.unwrap_or_default(),
        });
        let pause = policy.pause.map(|pause| Pause {
            command: pause.command,
            resume: pause.resume,
            timeout: self.duration(&format!("{path}.pause.timeout"), pause.timeout).unwrap_or(Duration::from_secs(120)),
            until: pause.until.unwrap_or_default(),
        });
        Policy {
            members,
            keep,
            max_skew: self.duration(&format!("{path}.max_skew"), policy.max_skew),
            rpo: self.duration(&format!("{path}.rpo"), policy.rpo),
            schedule,
            time_zone,
            jitter: self.duration(&format!("{path}.jitter"), policy.jitter).unwrap_or_default(),
            blackouts: self.blackouts(path, &policy.blackouts),
            catch_up: self.duration(&format!("{path}.catch_up"), policy.catch_up).unwrap_or(DAY),
            deadline: self.duration(&format!("{path}.deadline"), policy.deadline).unwrap_or(DAY),
            retries: policy.retries.unwrap_or(2),
            generation: policy.generation,
            epoch,
            pause,
        }
    }
}
