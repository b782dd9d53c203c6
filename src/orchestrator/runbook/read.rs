//! From the page as written to a runbook: every name, span, number and kind is parsed here, each once.

use std::{collections::BTreeMap, time::Duration};

use super::{
    RestoreKind, Runbook, RunbookStep, Variable, VariableKind, Work,
    file::{
        FileCommand, FileFence, FileFront, FileImagesStep, FileObjects, FileProbe, FileQuestion, FileRestore, FileStep, FileSwitch, FileVariable,
        ObjectsMode,
    },
    lint::lint,
    page::{Block, parts},
};
use crate::{
    config::{Config, ConfigProblem, Document, parse_duration},
    model::{Action, Activity, Ask, Command, Destination, OutputPlace, OutputRule, Overwrite, Probe, Question, Seconds, SiteName, StepId, Terms},
    pipeline::sha256,
};

/// Largest runbook that is read, in bytes.
pub const SIZE_MAX: u64 = 1 << 20;
const COMMAND_LIMIT: Seconds = Seconds(600);
const PROBE_LIMIT: &str = "10s";
const PROBE_UNTIL: Seconds = Seconds(300);
const PROBE_INTERVAL: Seconds = Seconds(1);

/// Something about a runbook.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What, and where.
    pub problem: ConfigProblem,
    /// Whether it can run all the same.
    pub is_warning: bool,
}

/// A step that was read, with the document that says where everything stands.
#[derive(Debug)]
pub(super) struct Written {
    pub step: RunbookStep,
    pub document: Document<()>,
}

/// Reads the text of a runbook; with a configuration, names are looked up in it.
///
/// # Errors
/// All that is wrong, warnings included.
pub fn read(text: &str, config: Option<&Config>) -> Result<(Runbook, Vec<Finding>), Vec<Finding>> {
    let page = parts(text).map_err(|problems| problems.into_iter().map(|problem| Finding { problem, is_warning: false }).collect::<Vec<_>>())?;
    let mut reader = Reader { problems: Vec::new() };
    let front = reader.front(&page.front);
    let steps: Vec<Written> = page.steps.iter().filter_map(|block| reader.step(block)).collect();
    let is_whole = steps.len() == page.steps.len();
    let mut findings: Vec<Finding> = reader.problems.into_iter().map(|problem| Finding { problem, is_warning: false }).collect();
    let order = lint(front.as_ref(), &steps, is_whole, config, &mut findings);
    findings.sort_by_key(|finding| (finding.problem.line, finding.problem.column));
    match (front, findings.iter().all(|finding| finding.is_warning)) {
        (Some((mut runbook, _)), true) => {
            let mut steps: BTreeMap<StepId, RunbookStep> = steps.into_iter().map(|written| (written.step.id.clone(), written.step)).collect();
            runbook.steps = order.iter().filter_map(|id| steps.remove(id)).collect();
            runbook.sha256 = sha256(text.as_bytes());
            Ok((runbook, findings))
        }
        _ => Err(findings),
    }
}

/// Whether a name leads nowhere but below the folder that it begins at.
fn is_below(name: &str) -> bool {
    let mut parts = std::path::Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

struct Reader {
    problems: Vec<ConfigProblem>,
}

impl Reader {
    fn document<T: schemars::JsonSchema + serde::de::DeserializeOwned>(&mut self, block: &Block) -> Option<(T, Document<()>)> {
        Document::read(&block.text, block.before).map(Document::split).map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn say(&mut self, document: &Document<()>, path: &str, what: impl Into<String>) {
        self.problems.push(document.problem(path, what));
    }

    fn parse<T: std::str::FromStr>(&mut self, document: &Document<()>, path: &str, text: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error: T::Err| self.say(document, path, error.to_string())).ok()
    }

    fn name(&mut self, document: &Document<()>, path: &str, text: &str) {
        if let Err(error) = text.parse::<SiteName>() {
            self.say(document, path, format!("{text:?} is not a valid name: {}", error.rule));
        }
    }

    fn span(&mut self, document: &Document<()>, path: &str, text: Option<&str>, default: Seconds) -> Seconds {
        let parsed = text.map(parse_duration).transpose().map_err(|what| self.say(document, path, what));
        parsed.ok().flatten().map_or(default, |span: Duration| span.into())
    }

    fn front(&mut self, block: &Block) -> Option<(Runbook, Document<()>)> {
        let (front, document) = self.document::<FileFront>(block)?;
        let d = &document;
        self.name(d, "name", &front.name);
        let policy = self.parse(d, "policy", &front.policy);
        let sites = front.sites.unwrap_or_default();
        let (from, to) = (sites.from.map(|name| self.parse(d, "sites.from", &name)), sites.to.map(|name| self.parse(d, "sites.to", &name)));
        let (service, full) = (Some(front.rto.service.as_str()), Some(front.rto.full.as_str()));
        let (service, full) = (self.span(d, "rto.service", service, Seconds(0)), self.span(d, "rto.full", full, Seconds(0)));
        if full < service {
            self.say(d, "rto.full", "it is shorter than that of the service");
        }
        for (i, file) in front.files.iter().enumerate().filter(|(_, file)| !is_below(file)) {
            self.say(d, &format!("files.{i}"), format!("{file:?} is not below the folder of the configuration"));
        }
        let mut variables = BTreeMap::new();
        for (name, written) in front.variables {
            let path = format!("variables.{name}");
            self.name(d, &path, &name);
            let FileVariable { about, default, kind, one_of } = written;
            let variable = Variable { about, default, kind: kind.unwrap_or_default(), one_of };
            // Whether a folder is there is known where it runs.
            let stated =
                Variable { kind: if variable.kind == VariableKind::Folder { VariableKind::Path } else { variable.kind }, ..variable.clone() };
            if let Some(Err(what)) = stated.default.as_ref().map(|default| stated.accepts(default)) {
                self.say(d, &format!("{path}.default"), what);
            }
            variables.insert(name, variable);
        }
        let runbook = Runbook {
            name: front.name,
            policy: policy?,
            sha256: crate::model::Sha256::ZERO,
            service,
            full,
            from: from.flatten(),
            to: to.flatten(),
            files: front.files,
            variables,
            steps: Vec::new(),
        };
        Some((runbook, document))
    }

    fn step(&mut self, block: &Block) -> Option<Written> {
        let (mut file, document) = self.document::<FileStep>(block)?;
        let d = &document;
        self.name(d, "id", &file.id);
        let id: Option<StepId> = self.parse(d, "id", &file.id);
        let needs = (0..).zip(&file.needs).filter_map(|(i, need): (usize, _)| self.parse(d, &format!("needs.{i}"), need)).collect();
        let budget = self.span(d, "budget", Some(&file.budget), Seconds(1));
        let terms = Terms { budget, retries: file.retries, later: file.later, optional: file.optional };
        let work = self.work(d, &mut file);
        let step = RunbookStep { id: id?, title: block.title.clone(), needs, terms, work: work? };
        Some(Written { step, document })
    }

    fn work(&mut self, d: &Document<()>, file: &mut FileStep) -> Option<Work> {
        let mut found: Vec<Option<Work>> = Vec::new();
        let other = |action: Option<Action>| action.map(|action| Work::Other(Box::new(action)));
        found.extend(file.command.take().map(|c| other(self.command(d, "command", c).map(|command| Action::Command { command }))));
        found.extend(file.restore.take().map(|restore| self.restore(d, restore)));
        found.extend(file.images.take().map(|images| self.images(d, images)));
        found.extend(file.objects.take().map(|objects| self.objects(d, objects)));
        found.extend(file.probe.take().map(|probe| other(self.probe(d, "probe", probe).map(|probe| Action::Probe { probe }))));
        found.extend(file.approve.take().map(|q| other(Some(Action::Approve { question: question(q) }))));
        found.extend(file.fence.take().map(|fence| other(self.fence(d, fence))));
        found.extend(file.switch.take().map(|switch| other(self.switch(d, switch))));
        found.extend(file.protect.take().map(|p| other(self.parse(d, "protect.policy", &p.policy).map(|policy| Action::Protect { policy }))));
        if found.len() != 1 {
            self.say(d, "", "give exactly one kind of step: command, images, objects, restore, probe, approve, fence, switch or protect");
            return None;
        }
        found.pop().flatten()
    }

    fn command(&mut self, d: &Document<()>, path: &str, file: FileCommand) -> Option<Command> {
        for (key, argv) in [("run", &file.run), ("check", &file.check), ("undo", &file.undo)] {
            if argv.first().is_some_and(String::is_empty) {
                self.say(d, &format!("{path}.{key}.0"), "the program's name is empty");
            }
        }
        for name in file.env.keys().chain(file.env_files.keys()).filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
            self.say(d, path, format!("{name:?} cannot be the name of an environment variable"));
        }
        for name in file.env_files.keys().filter(|name| file.env.contains_key(*name)) {
            self.say(d, &format!("{path}.env_files.{name}"), "the variable stands in env too");
        }
        let limit = self.span(d, &format!("{path}.limit"), file.limit.as_deref(), COMMAND_LIMIT);
        let mut outputs = BTreeMap::new();
        for (name, output) in file.outputs {
            let path = format!("{path}.outputs.{name}");
            self.name(d, &path, &name);
            let at = match (output.json, output.line) {
                (Some(pointer), None) if pointer.is_empty() || pointer.starts_with('/') => OutputPlace::Json(pointer),
                (None, Some(line)) => OutputPlace::Line(line),
                (Some(_), None) => {
                    self.say(d, &format!("{path}.json"), "a JSON pointer begins with /, or is empty");
                    continue;
                }
                _ => {
                    self.say(d, &path, "give json or line, and not both");
                    continue;
                }
            };
            outputs.insert(name, OutputRule { at, secret: output.secret });
        }
        let env_files = file.env_files.into_iter().map(|(name, file)| (name, file.into())).collect();
        Some(Command { run: file.run, check: file.check, undo: file.undo, env: file.env, env_files, limit, idempotent: file.idempotent, outputs })
    }

    fn restore(&mut self, d: &Document<()>, file: FileRestore) -> Option<Work> {
        let member = self.parse(d, "restore.member", &file.member);
        let to = match (file.into, file.to) {
            (Some(source), None) => self.parse(d, "restore.into", &source).map(|source| Destination::System {
                source,
                rename: file.rename.clone(),
                activity: Activity::Apply,
            }),
            (None, Some(_)) if !file.rename.is_empty() => {
                self.say(d, "restore.rename", "only what goes into a system can be renamed");
                None
            }
            (None, Some(folder)) => Some(Destination::Directory(folder.into())),
            _ => {
                self.say(d, "restore", "give into or to, and not both");
                None
            }
        };
        let overwrite = if file.replace { Overwrite::InPlace } else { Overwrite::Refuse };
        Some(Work::Restore { kind: RestoreKind::Restore, member: member?, select: file.select, to: to?, overwrite })
    }

    fn images(&mut self, d: &Document<()>, file: FileImagesStep) -> Option<Work> {
        let (member, source) = (self.parse(d, "images.member", &file.member), self.parse(d, "images.into", &file.into));
        let overwrite = if file.replace { Overwrite::InPlace } else { Overwrite::Refuse };
        Some(Work::Restore { kind: RestoreKind::Images, member: member?, select: file.select, to: Destination::system(source?), overwrite })
    }

    fn objects(&mut self, d: &Document<()>, file: FileObjects) -> Option<Work> {
        let (member, source) = (self.parse(d, "objects.member", &file.member), self.parse(d, "objects.into", &file.into));
        if file.mode != ObjectsMode::Quiet && !file.replicas.is_empty() {
            self.say(d, "objects.replicas", "it belongs to mode: quiet, and the step that activates gives back what was saved");
        }
        // Values are put into texts, and these are keys.
        for pattern in file.replicas.keys().filter(|pattern| pattern.split('/').count() != 3 || pattern.contains("${")) {
            self.say(d, "objects.replicas", format!("{pattern:?} is not of the form NAMESPACE/KIND/NAME with *"));
        }
        let activity = match file.mode {
            ObjectsMode::Apply => Activity::Apply,
            ObjectsMode::Quiet => Activity::Quiet { replicas: file.replicas },
            ObjectsMode::Activate => Activity::Activate,
        };
        let overwrite = if file.replace { Overwrite::InPlace } else { Overwrite::Refuse };
        let to = Destination::System { source: source?, rename: file.rename, activity };
        Some(Work::Restore { kind: RestoreKind::Objects, member: member?, select: file.select, to, overwrite })
    }

    fn probe(&mut self, d: &Document<()>, path: &str, file: FileProbe) -> Option<Probe> {
        let mut asks: Vec<Option<Ask>> = Vec::new();
        asks.extend(file.http.map(|http| {
            let (status, ca_file) = (http.status.unwrap_or(200), http.ca_file.map(Into::into));
            Some(Ask::Http { url: http.url, status, contains: http.contains, ca_file })
        }));
        asks.extend(file.tcp.map(|place| Some(Ask::Tcp(place))));
        asks.extend(file.command.map(|mut command| {
            command.limit.get_or_insert_with(|| PROBE_LIMIT.to_owned());
            if !command.check.is_empty() || !command.undo.is_empty() || !command.outputs.is_empty() {
                self.say(d, &format!("{path}.command"), "the command of a probe changes nothing: it has no check, undo or outputs");
            }
            self.command(d, &format!("{path}.command"), command).map(Ask::Command)
        }));
        let mut span = |key: &str, text: Option<String>, default| self.span(d, &format!("{path}.{key}"), text.as_deref(), default);
        let (until, stable) = (span("until", file.until, PROBE_UNTIL), span("stable", file.stable, Seconds(0)));
        let interval = span("interval", file.interval, PROBE_INTERVAL);
        if stable >= until {
            self.say(d, &format!("{path}.stable"), "the answer has to stay good for longer than it may take to become so: raise until");
        }
        if asks.len() != 1 {
            self.say(d, path, "give exactly one of http, tcp and command");
        }
        Some(Probe { ask: asks.pop().flatten()?, until, stable, interval })
    }

    fn fence(&mut self, d: &Document<()>, file: FileFence) -> Option<Action> {
        if file.proof.is_none() && file.attest.is_none() {
            self.say(d, "fence", "give proof, attest or both: that the old site is stopped has to be known");
        }
        let command = match file.command {
            Some(command) => Some(self.command(d, "fence.command", command)?),
            None => None,
        };
        let proof = match file.proof {
            Some(proof) => Some(self.probe(d, "fence.proof", proof)?),
            None => None,
        };
        Some(Action::Fence { command, proof, attest: file.attest.map(question) })
    }

    fn switch(&mut self, d: &Document<()>, file: FileSwitch) -> Option<Action> {
        if file.command.undo.is_empty() {
            self.say(d, "switch.command", "missing key \"undo\": a switch can be taken back");
        }
        Some(Action::Switch { command: self.command(d, "switch.command", file.command)?, proof: self.probe(d, "switch.proof", file.proof)? })
    }
}

fn question(file: FileQuestion) -> Question {
    Question { text: file.question, by: file.by }
}
