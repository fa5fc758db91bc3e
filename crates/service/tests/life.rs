//! A component as a real process: flags, exit codes, the door for operators, signals.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

#[path = "../examples/probe.rs"]
#[expect(dead_code, reason = "its main is what the other tests run as a process")]
mod component;

/// Cargo builds the examples beside the tests.
fn probe() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples/probe");
    assert!(
        path.exists(),
        "{} is missing: run a plain `cargo test -p service`, which builds the examples",
        path.display()
    );
    path
}

fn run(arguments: &[&str]) -> Output {
    Command::new(probe()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A probe that runs, with its log.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new(probe());
        command.args(["--log-format", "json"]).args(arguments).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = sync_channel(1_000);
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        Running { child, lines }
    }

    /// The first log line with this message, as JSON.
    fn line(&self, message: &str) -> serde_json::Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("a line of the log");
            let Ok(json) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            if json["message"] == message {
                return json;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn exit(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.lines.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Running {
    /// A test that fails half-way leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One GET, by hand: the client crates would bring a runtime.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

#[test]
fn a_checked_configuration_starts_nothing_and_a_bad_one_tells_everything() {
    assert_eq!(run(&["--check"]).status.code(), Some(0));
    let bad = run(&["--check", "--set", "probe.every=1ms", "--set", "probe.fautl=none", "--set", "process.drain=soon"]);
    assert_eq!(bad.status.code(), Some(78));
    let told = text(&bad.stderr);
    for part in [
        "3 problems",
        "probe.every = 1ms (--set): is too often",
        "did you mean fault?",
        "process.drain = \"soon\"",
        "TG0010",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[test]
fn flags_nobody_knows_are_usage_errors_and_help_is_not() {
    assert_eq!(run(&["--no-such-flag"]).status.code(), Some(64));
    assert_eq!(run(&["--help"]).status.code(), Some(0));
}

#[test]
fn the_printed_configuration_names_origins_and_hides_secrets() {
    let mut command = Command::new(probe());
    let output = command.arg("--print-config").env("TIDEGATE_PROBE__EVERY", "75ms").output().unwrap();
    let printed = text(&output.stdout);
    assert!(printed.contains("every = \"75ms\"  # environment TIDEGATE_PROBE__EVERY"), "{printed}");
    assert!(printed.contains("drain = \"20s\"  # default") && !printed.contains("hunter2"), "{printed}");
    let schema = run(&["--schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["properties"]["probe"]["properties"]["every"]["type"], "string");
}

#[test]
fn it_serves_its_health_until_a_signal_and_then_drains() {
    let running = Running::start(&["--set", "process.instance=probe-1"]);
    let line = running.line("running");
    assert_eq!(line["instance"], "probe-1");
    let address = line["ops"].as_str().unwrap().to_owned();
    assert_eq!(get(&address, "/livez"), (200, "live\n".to_owned()));
    let ready = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        get(&address, "/readyz").0 == 200
    });
    assert!(ready);
    let beating = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        get(&address, "/metrics").1.contains("probe_beats_total{instance=\"probe-1\"}")
    });
    assert!(beating, "{}", get(&address, "/metrics").1);
    let metrics = get(&address, "/metrics").1;
    for name in
        ["service_process_resident_bytes ", "service_process_open_files ", "service_component{component=\"probe\""]
    {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    let health: serde_json::Value = serde_json::from_str(&get(&address, "/healthz").1).unwrap();
    assert_eq!((&health[0]["component"], &health[0]["state"]), (&"probe".into(), &"ok".into()));
    assert_eq!(get(&address, "/nothing").0, 404);
    running.signal("TERM");
    assert_eq!(running.line("draining")["reason"], "SIGTERM");
    assert_eq!(running.exit().0, Some(0));
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let build = run(&["--set", "probe.fault=build"]);
    assert_eq!(build.status.code(), Some(69), "{}", text(&build.stderr));
    let panic = run(&["--set", "probe.fault=panic"]);
    assert_eq!(panic.status.code(), Some(70));
    assert!(text(&panic.stderr).contains("task probe/careless panicked: an odd frame"), "{}", text(&panic.stderr));
    assert_eq!(run(&["--set", "probe.fault=done"]).status.code(), Some(0));
    let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("process.ops.address=\"{}\"", first.local_addr().unwrap());
    let taken = run(&["--set", &taken]);
    assert_eq!(taken.status.code(), Some(69));
    assert!(text(&taken.stderr).contains("TG0020"), "{}", text(&taken.stderr));
}

#[test]
fn what_does_not_finish_is_aborted_at_the_deadline_and_named() {
    let running = Running::start(&["--set", "probe.fault=stubborn", "--set", "process.drain=100ms"]);
    running.line("running");
    running.signal("INT");
    let (code, log) = running.exit();
    assert_eq!(code, Some(70));
    assert!(log.contains("probe did not finish within 100ms"), "{log}");
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let running = Running::start(&["--set", "probe.fault=stubborn", "--set", "process.drain=10m"]);
    running.line("running");
    running.signal("INT");
    running.line("draining");
    running.signal("TERM");
    let (code, log) = running.exit();
    assert_eq!(code, Some(70));
    assert!(log.contains("second SIGTERM"), "{log}");
}
