//! The parts of a page: front matter, and the step block of each section, each with the line where it begins.

use crate::config::ConfigProblem;

/// A block of YAML.
#[derive(Debug)]
pub(super) struct Block {
    /// Its text.
    pub text: String,
    /// Lines of the file before its first.
    pub before: u64,
    /// Title of its section; of the front matter, empty.
    pub title: String,
}

/// Front matter and steps.
#[derive(Debug)]
pub(super) struct Page {
    pub front: Block,
    pub steps: Vec<Block>,
}

/// A code block that is open.
struct Open<'a> {
    line: u64,
    fence: &'a str,
    step: Option<String>,
}

const STEP: &str = "yaml step";

/// Finds them.
///
/// # Errors
/// Everything that keeps the page from having parts.
pub(super) fn parts(text: &str) -> Result<Page, Vec<ConfigProblem>> {
    let problem = |line: u64, what: &str| ConfigProblem { line, column: 1, path: String::new(), what: what.to_owned() };
    let mut lines = (1..).zip(text.lines());
    if lines.next().is_none_or(|(_, first)| first.trim_end() != "---") {
        return Err(vec![problem(1, "a runbook begins with a line --- and front matter")]);
    }
    let front: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_end() != "---").collect();
    let mut page = Page { front: Block { text: front.join("\n"), before: 1, title: String::new() }, steps: Vec::new() };
    let (mut problems, mut title, mut has_step) = (Vec::new(), None::<String>, false);
    let mut open: Option<Open<'_>> = None;
    for (number, line) in lines {
        let marks = &line[..line.len() - line.trim_start_matches('`').len()];
        match &mut open {
            Some(block) if marks.len() >= block.fence.len() && line.trim_end() == marks => {
                if let Some(Open { line, step: Some(text), .. }) = open.take() {
                    match &title {
                        None => problems.push(problem(line, "a step stands in a section: a line that begins with ##, before it")),
                        Some(_) if has_step => problems.push(problem(line, "this section has a step already; begin another one with ##")),
                        Some(title) => page.steps.push(Block { text, before: line, title: title.clone() }),
                    }
                    has_step = true;
                }
            }
            Some(block) => {
                if let Some(text) = &mut block.step {
                    *text += &format!("{line}\n");
                }
            }
            None if marks.len() >= 3 => {
                let step = (line[marks.len()..].trim() == STEP).then(String::new);
                open = Some(Open { line: number, fence: marks, step });
            }
            None => {
                if let Some(new) = line.strip_prefix("## ") {
                    (title, has_step) = (Some(new.trim().to_owned()), false);
                }
            }
        }
    }
    problems.extend(open.map(|block| problem(block.line, "this block is not closed")));
    if page.steps.is_empty() && problems.is_empty() {
        problems.push(problem(1, "there is no step: a section (##) with a block ```yaml step"));
    }
    if problems.is_empty() { Ok(page) } else { Err(problems) }
}
