//! Real commands. A shell stands here for whatever a command may do; the product starts none.

use std::time::Instant;

use super::*;
use crate::{
    model::{Activity, FixedClock},
    sources::{Overwrite, RowKey, SourceErrorKind, SystemTarget},
};

fn everything() -> SystemTarget {
    SystemTarget { overwrite: Overwrite::Refuse, select: Vec::new(), rename: BTreeMap::new(), activity: Activity::Apply }
}

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|&word| word.to_owned()).collect()
}

fn dump_of(argv: &[&str]) -> CommandSource {
    CommandSource { dump: words(argv), ..CommandSource::default() }
}

fn load_of(argv: &[&str]) -> CommandSource {
    CommandSource { load: words(argv), ..CommandSource::default() }
}

fn read(source: &CommandSource, ctx: &Context) -> (Vec<u8>, Result<StreamEnd, SourceError>) {
    let mut capture = source.dump(ctx).unwrap();
    let mut bytes = Vec::new();
    // What went wrong is for `finish` to say.
    let _ = capture.read_to_end(&mut bytes);
    (bytes, capture.finish())
}

fn load(source: &CommandSource, bytes: &[u8]) -> Result<(), SourceError> {
    let mut sink = source.load(&Context::default()).unwrap();
    let _ = sink.write_all(bytes);
    sink.finish()
}

/// Whether a process exists and is no zombie.
fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A signal is sent before its victim is gone: whether it goes within the time that a loaded machine may need.
fn ends(pid: &str) -> bool {
    let started = Instant::now();
    while is_alive(pid) && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    !is_alive(pid)
}

fn wait_for(path: &Path) -> String {
    let started = Instant::now();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ if started.elapsed() > Duration::from_secs(20) => panic!("{} was not written", path.display()),
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn a_dump_yields_its_output_and_when_it_was() {
    let clock = Arc::new(FixedClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let ctx = Context { clock: clock.clone(), ..Context::default() };
    for (consistency, to) in [(Consistency::Snapshot, "2026-01-01T00:01:00Z"), (Consistency::Span, "2026-01-01T00:02:00Z")] {
        clock.set("2026-01-01T00:00:00Z".parse().unwrap());
        let mut capture = CommandSource { consistency, ..dump_of(&["printf", "%s", "one * two"]) }.dump(&ctx).unwrap();
        clock.set("2026-01-01T00:01:00Z".parse().unwrap());
        let mut bytes = Vec::new();
        capture.read_to_end(&mut bytes).unwrap();
        clock.set("2026-01-01T00:02:00Z".parse().unwrap());
        let end = capture.finish().unwrap();
        assert_eq!((bytes.as_slice(), end.bytes), (&b"one * two"[..], ByteCount(9)));
        assert_eq!((end.consistent_from.to_string().as_str(), end.consistent_to.to_string().as_str()), ("2026-01-01T00:00:00Z", to));
    }
}

#[test]
fn the_exit_status_decides_even_after_good_output() {
    let (bytes, end) = read(&dump_of(&["sh", "-c", "echo all of it; echo but not really >&2; exit 3"]), &Context::default());
    let error = end.unwrap_err();
    assert_eq!(bytes, b"all of it\n");
    assert_eq!((error.kind(), error.to_string().as_str()), (SourceErrorKind::Failed, "sh exited with status 3: but not really"));
    let (_, end) = read(&dump_of(&["sh", "-c", "echo x; kill -9 $$"]), &Context::default());
    assert_eq!(end.unwrap_err().to_string(), "sh was killed by signal 9");
    let (_, end) = read(&dump_of(&["false"]), &Context::default());
    assert_eq!(end.unwrap_err().to_string(), "false exited with status 1");
}

#[test]
fn an_empty_dump_is_an_error_unless_it_is_allowed() {
    let error = read(&dump_of(&["true"]), &Context::default()).1.unwrap_err();
    assert!(matches!(error, SourceError::EmptyOutput { .. }) && error.hint().is_some(), "{error}");
    assert_eq!(read(&CommandSource { allow_empty: true, ..dump_of(&["true"]) }, &Context::default()).1.unwrap().bytes, ByteCount(0));
}

#[test]
fn commands_that_cannot_start_are_named() {
    let error = dump_of(&["/no/such/program"]).dump(&Context::default()).unwrap_err();
    assert!(matches!(error, SourceError::Spawn { .. }) && error.hint().is_some(), "{error}");
    let error = CommandSource::default().load(&Context::default()).unwrap_err();
    assert_eq!(error.to_string(), "no load command is given");
}

#[test]
fn a_secret_reaches_the_command_and_no_error_and_nothing_else_of_our_environment_does() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "tiger-and-mouse\n").unwrap();
    let env =
        BTreeMap::from([("PGPASSWORD".to_owned(), EnvValue::SecretFile(file.clone())), ("MODE".to_owned(), EnvValue::Plain("fast".to_owned()))]);
    let script = "env; echo \"cannot log in as root:$PGPASSWORD@db ($MODE)\" >&2; exit 1";
    let (output, end) = read(&CommandSource { env: env.clone(), ..dump_of(&["sh", "-c", script]) }, &Context::default());
    let error = end.unwrap_err();
    assert_eq!(error.to_string(), "sh exited with status 1: cannot log in as root:[secret]@db (fast)");
    assert!(!format!("{error:?}").contains("tiger"));
    let output = String::from_utf8(output).unwrap();
    let lines: Vec<_> = output.lines().collect();
    assert!(lines.contains(&"PGPASSWORD=tiger-and-mouse") && lines.contains(&"MODE=fast"));
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")) && !output.contains("CARGO"), "{output}");
    std::fs::remove_file(&file).unwrap();
    let error = CommandSource { env, ..dump_of(&["true"]) }.dump(&Context::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the secret in {}", file.display()));
}

#[test]
fn a_hanging_dump_is_ended_at_its_deadline_with_all_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let script = format!("(trap '' TERM; sleep 300 & echo $! > {}; wait; sleep 300) & echo started; wait", pid.display());
    let source = CommandSource { timeout: Some(Duration::from_millis(1500)), ..dump_of(&["sh", "-c", &script]) };
    let started = Instant::now();
    let (bytes, end) = read(&source, &Context::default());
    let error = end.unwrap_err();
    assert_eq!(
        (bytes.as_slice(), error.kind(), error.to_string().as_str()),
        (&b"started\n"[..], SourceErrorKind::TimedOut, "sh was stopped after 1.5 s")
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(ends(&wait_for(&pid)), "a grandchild outlived the deadline");
}

#[test]
fn a_stopped_run_and_a_dropped_capture_end_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let script = format!("echo x; sleep 300 & echo $! > {}; wait", pid.display());
    let ctx = Context::default();
    let mut capture = dump_of(&["sh", "-c", &script]).dump(&ctx).unwrap();
    let grandchild = wait_for(&pid);
    ctx.cancel.raise();
    assert_eq!(capture.read(&mut [0; 1]).unwrap(), 1, "the first stage lets a stream go on");
    ctx.cancel.raise();
    assert!(capture.read(&mut [0; 9]).is_err());
    assert_eq!(capture.finish().unwrap_err().kind(), SourceErrorKind::Cancelled);
    assert!(ends(&grandchild));
    std::fs::remove_file(&pid).unwrap();
    let capture = dump_of(&["sh", "-c", &script]).dump(&Context::default()).unwrap();
    let grandchild = wait_for(&pid);
    assert!(is_alive(&grandchild));
    drop(capture);
    assert!(ends(&grandchild));
}

#[test]
fn a_dump_that_was_not_read_to_its_end_is_not_whole() {
    let mut capture = dump_of(&["seq", "1000000"]).dump(&Context::default()).unwrap();
    capture.read_exact(&mut [0; 10]).unwrap();
    assert!(capture.finish().unwrap_err().to_string().contains("before all its output was read"));
}

#[test]
fn what_is_loaded_is_what_was_dumped() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let source = CommandSource {
        dump: words(&["seq", "2000000"]),
        load: words(&["dd", "status=none", &format!("of={}", copy.display())]),
        ..CommandSource::default()
    };
    let component = &source.open(&Opening { row_key: RowKey::generate(), of: None }, &Context::default()).unwrap()[0];
    let Capture::Stream(mut capture) = source.capture(component, &Context::default()).unwrap() else { panic!() };
    let Sink::Stream(mut sink) = source.sink(component, &Target::System(everything()), &Context::default()).unwrap() else { panic!() };
    std::io::copy(&mut capture, &mut sink).unwrap();
    let end = capture.finish().unwrap();
    sink.finish().unwrap();
    let copied = std::fs::read_to_string(&copy).unwrap();
    assert_eq!(ByteCount(copied.len() as u64), end.bytes);
    assert!(copied.lines().enumerate().all(|(n, line)| line == (n + 1).to_string()));
}

#[test]
fn a_stream_goes_to_a_new_file_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new");
    let sink = |overwrite| {
        let target = Target::Directory { path: path.clone(), overwrite };
        let component = Component::single("dump", Shape::Stream);
        dump_of(&["true"]).sink(&component, &target, &Context::default())
    };
    let write = |sink| {
        let Sink::Stream(mut sink) = sink else { panic!() };
        sink.write_all(b"bytes").unwrap();
        sink.finish().unwrap();
    };
    write(sink(Overwrite::Refuse).unwrap());
    assert_eq!(sink(Overwrite::Refuse).unwrap_err().kind(), SourceErrorKind::Occupied);
    write(sink(Overwrite::InPlace).unwrap());
    assert_eq!(std::fs::read(path.join("dump")).unwrap(), b"bytes");
    assert!(matches!(StreamSink::file(&path, "../x", Overwrite::InPlace), Err(SourceError::UnsafePath { .. })));
}

#[test]
fn a_load_that_fails_or_stops_reading_says_so() {
    let big = vec![b'x'; 1 << 20];
    let error = load(&load_of(&["sh", "-c", "head -c 5 >&2; exit 4"]), &big).unwrap_err();
    assert_eq!(error.to_string(), "sh exited with status 4: xxxxx");
    for (bytes, argv) in [(&big[..], ["head", "-c1"]), (b"short", ["sleep", "0.1"])] {
        let error = load(&load_of(&argv), bytes).unwrap_err();
        assert!(matches!(error, SourceError::StoppedReading { .. }) && error.hint().is_some(), "{error}");
        load(&CommandSource { allow_unread: true, ..load_of(&argv) }, bytes).unwrap();
    }
    load(&load_of(&["cat"]), &big).unwrap();
    load(&load_of(&["cat"]), b"").unwrap();
    let source = CommandSource { timeout: Some(Duration::from_millis(300)), ..load_of(&["sleep", "300"]) };
    assert_eq!(load(&source, &big).unwrap_err().kind(), SourceErrorKind::TimedOut, "while it does not read");
    assert_eq!(load(&source, b"").unwrap_err().kind(), SourceErrorKind::TimedOut, "while it does not end");
}

#[test]
fn an_abandoned_load_does_not_see_the_regular_end_of_its_input() {
    let directory = tempfile::tempdir().unwrap();
    let (ready, done) = (directory.path().join("ready"), directory.path().join("done"));
    let script = format!("read line; echo > {}; cat; echo committed > {}", ready.display(), done.display());
    let mut sink = load_of(&["sh", "-c", &script]).load(&Context::default()).unwrap();
    sink.write_all(b"first line\nsecond").unwrap();
    wait_for(&ready);
    drop(sink);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!done.exists());
}
