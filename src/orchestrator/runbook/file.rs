//! Front matter and steps exactly as written. Names, spans and references are parsed in `read`, so that all that is wrong is said at once.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::VariableKind;

/// Front matter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFront {
    pub name: String,
    pub policy: String,
    pub rto: FileRto,
    pub sites: Option<FileSites>,
    #[serde(default)]
    pub files: Vec<String>,
    #[serde(default)]
    pub variables: BTreeMap<String, FileVariable>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRto {
    pub service: String,
    pub full: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSites {
    pub from: Option<String>,
    pub to: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileVariable {
    #[serde(default)]
    pub about: String,
    pub default: Option<String>,
    pub kind: Option<VariableKind>,
    #[serde(default)]
    pub one_of: Vec<String>,
}

/// A step: exactly one of its kinds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileStep {
    pub id: String,
    pub needs: Vec<String>,
    pub budget: String,
    #[serde(default)]
    #[schemars(range(max = 10))]
    pub retries: u32,
    #[serde(default)]
    pub later: bool,
    #[serde(default)]
    pub optional: bool,
    pub command: Option<FileCommand>,
    pub restore: Option<FileRestore>,
    pub images: Option<FileImagesStep>,
    pub objects: Option<FileObjects>,
    pub probe: Option<FileProbe>,
    pub approve: Option<FileQuestion>,
    pub fence: Option<FileFence>,
    pub switch: Option<FileSwitch>,
    pub protect: Option<FileProtect>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCommand {
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    #[serde(default)]
    pub check: Vec<String>,
    #[serde(default)]
    pub undo: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub env_files: BTreeMap<String, String>,
    pub limit: Option<String>,
    #[serde(default)]
    pub idempotent: bool,
    #[serde(default)]
    pub outputs: BTreeMap<String, FileOutput>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOutput {
    pub json: Option<String>,
    #[schemars(range(min = 1, max = 100_000))]
    pub line: Option<u32>,
    #[serde(default)]
    pub secret: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRestore {
    pub member: String,
    pub into: Option<String>,
    pub to: Option<String>,
    #[serde(default)]
    pub select: Vec<String>,
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    #[serde(default)]
    pub replace: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileImagesStep {
    pub member: String,
    pub into: String,
    #[serde(default)]
    pub select: Vec<String>,
    #[serde(default)]
    pub replace: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileObjects {
    pub member: String,
    pub into: String,
    #[serde(default)]
    pub select: Vec<String>,
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    #[serde(default)]
    pub mode: ObjectsMode,
    #[serde(default)]
    pub replicas: BTreeMap<String, u32>,
    #[serde(default)]
    pub replace: bool,
}

/// What becomes of objects that act by themselves.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ObjectsMode {
    /// They are applied like all others.
    #[default]
    Apply,
    /// They are suspended or left out.
    Quiet,
    /// They alone are applied, as they were.
    Activate,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileProbe {
    pub http: Option<FileHttp>,
    pub tcp: Option<String>,
    pub command: Option<FileCommand>,
    pub until: Option<String>,
    pub stable: Option<String>,
    pub interval: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHttp {
    pub url: String,
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    pub contains: Option<String>,
    pub ca_file: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileQuestion {
    pub question: String,
    #[serde(default)]
    pub by: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFence {
    pub command: Option<FileCommand>,
    pub proof: Option<FileProbe>,
    pub attest: Option<FileQuestion>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSwitch {
    pub command: FileCommand,
    pub proof: FileProbe,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileProtect {
    pub policy: String,
}
