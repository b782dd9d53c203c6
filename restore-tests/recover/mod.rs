//! Recoveries by runbooks: run whole, bent by people, killed anywhere.

mod bent;
mod bent_region;
mod killed;
mod kubernetes;
mod lab_databases;
mod refused;
mod shipped;
pub mod taken;
mod watched;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::site::{Site, make_tree};

/// Longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(180);

/// Reads the page as XML, which its authors keep to but for empty elements and named characters.
const PARSER: &str = r"
import re, sys, xml.etree.ElementTree
page = open(sys.argv[1], encoding='utf-8').read()
page = re.sub(r'&(ensp|ndash|rsquo);', ' ', page[page.index('<html'):])
xml.etree.ElementTree.fromstring(re.sub(r'<meta ([^>]*)>', r'<meta \1/>', page))
";

/// A site with one point of a tree and a stream, and a runbook.
pub struct World {
    pub site: Site,
}

impl World {
    pub fn new(noise: usize) -> World {
        let site = Site::in_directories();
        make_tree(&site.path("tree"), noise);
        fs::write(site.path("stream"), "rows").unwrap();
        site.protect_tree_and_stream();
        site.run(&["backup", "single", "--quiet"], 0);
        World { site }
    }

    /// Writes the runbook: variables as YAML lines, and steps as YAML, each under a title of its own.
    pub fn book(&self, variables: &str, steps: &[&str]) {
        fs::write(self.site.path("book.md"), book(variables, steps)).unwrap();
    }

    /// The text of a file; empty while there is none.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.site.path(name)).unwrap_or_default()
    }

    /// Begins the recovery.
    pub fn start(&self, more: &[&str]) -> Watched {
        let dir = format!("dir={}", self.site.path("").display());
        self.watch(&[&["recover", "book.md", "--report", "report.html", "--var", &dir][..], more].concat())
    }

    /// Goes on with it.
    pub fn resume(&self, more: &[&str]) -> Watched {
        let run = self.run_id();
        self.watch(&[&["runs", "resume", &run, "--report", "report.html"][..], more].concat())
    }

    fn watch(&self, arguments: &[&str]) -> Watched {
        Watched::start(&self.site, arguments)
    }

    /// The only recovery that the control store knows.
    pub fn run_id(&self) -> String {
        run_id(&self.site)
    }

    /// Gives an order.
    pub fn order(&self, what: &[&str], status: i32) -> String {
        let run = self.run_id();
        let arguments = [&["runs", what[0], &run][..], &what[1..], &["--who", "Berta", "--reason", "a test"]].concat();
        self.site.run(&arguments, status)
    }

    /// The report as JSON; the page beside it is well-formed and needs nothing from outside.
    pub fn report(&self) -> Value {
        let page = self.text("report.html");
        assert!(page.contains("<svg") && page.ends_with("</html>\n"));
        let parsed = Command::new("python3").args(["-c", PARSER]).arg(self.site.path("report.html")).output().unwrap();
        assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
        for outside in ["http:", "https:", "src=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "the report refers to something outside: {outside}");
        }
        serde_json::from_str(&self.text("report.json")).unwrap()
    }
}

/// The only recovery that a site's control store knows.
pub fn run_id(site: &Site) -> String {
    let runs: Value = serde_json::from_str(&site.run(&["--output", "json", "runs", "list"], 0)).unwrap();
    let mut recoveries =
        runs["data"]["runs"].as_array().unwrap().iter().filter(|run| run["what"].as_str().is_some_and(|what| what.starts_with("recover")));
    let run = recoveries.next().unwrap()["run"].as_str().unwrap().to_owned();
    assert!(recoveries.next().is_none(), "{runs}");
    run
}

/// A runbook without a file.
pub fn book(variables: &str, steps: &[&str]) -> String {
    let mut text = format!(
        "---\nname: test\npolicy: single\nrto: {{ service: 10m, full: 1h }}\nvariables:\n  dir: {{ kind: folder }}\n{variables}---\n# A test\n"
    );
    for (i, step) in steps.iter().enumerate() {
        text += &format!("\n## Step {i}\nProse.\n\n```yaml step\n{}\n```\n", step.trim());
    }
    text
}

/// A command step that writes its id to the file `ran` once, and says by a check whether it has.
pub fn once(id: &str, needs: &str) -> String {
    format!(
        "id: {id}\nneeds: [{needs}]\nbudget: 5s\ncommand:\n  run: [sh, -c, 'echo {id} >> \"$0\"', \"${{dir}}/ran\"]\n  check: [grep, -qx, {id}, \"${{dir}}/ran\"]"
    )
}

/// A process whose events are listened to.
pub struct Watched {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl Watched {
    /// Begins what these arguments say.
    pub fn start(site: &Site, arguments: &[&str]) -> Watched {
        Watched::of(site.command(&[&["--output", "json"][..], arguments].concat()))
    }

    /// Begins a command that says events on its standard error.
    pub fn of(mut command: Command) -> Watched {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, stderr) = (Arc::clone(&said), BufReader::new(child.stderr.take().unwrap()));
        let listener = std::thread::spawn(move || stderr.lines().for_each(|line| heard.lock().unwrap().push(line.unwrap())));
        Watched { child, said, listener: Some(listener) }
    }

    /// Its number.
    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Everything that it has said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Waits until it has said a text; whether it did before it ended.
    pub fn says(&mut self, text: &str) -> bool {
        self.reaches(|said| said.iter().any(|line| line.contains(text)))
    }

    /// Waits until what it has said is enough; whether it was before it ended.
    pub fn reaches(&mut self, enough: impl Fn(&[String]) -> bool) -> bool {
        let began = Instant::now();
        loop {
            let ended = self.listener.as_ref().is_none_or(JoinHandle::is_finished);
            if enough(&self.said.lock().unwrap()) {
                return true;
            }
            if ended {
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "it never came so far: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, which it cannot prevent.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; the signal that ended it.
    pub fn signalled(mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.signal(),
                None => assert!(began.elapsed() < PATIENCE, "it never ended: {}", self.said()),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for its end, which has to be this one; its envelope, and all that it said.
    pub fn end(self, status: i32) -> (Value, String) {
        let (code, envelope, said) = self.any_end();
        assert_eq!(code, Some(status), "{envelope}\n{said}");
        (envelope, said)
    }

    /// Waits for its end; its exit status, its envelope (nothing when a signal ended it), and all that it said.
    pub fn any_end(mut self) -> (Option<i32>, Value, String) {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let code = self.child.wait().unwrap().code();
        self.listener.take().unwrap().join().unwrap();
        let envelope = if code.is_some() { serde_json::from_str(&out).unwrap() } else { Value::Null };
        (code, envelope, self.said())
    }
}

impl Drop for Watched {
    /// A test that failed leaves no process.
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Waits until a file holds a text.
pub fn until(path: PathBuf, text: &str) {
    let began = Instant::now();
    while !fs::read_to_string(&path).is_ok_and(|found| found.contains(text)) {
        assert!(began.elapsed() < PATIENCE, "{} never held {text}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}
