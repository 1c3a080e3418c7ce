//! The command line, by the compiled binary: what it prints where, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// An address where nobody listens: port 1 of this machine.
const NOBODY: &str = "http://127.0.0.1:1";

pub struct Ran {
    status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `bursar` in the project's directory, without settings of whoever runs the tests.
#[track_caller]
fn bursar(arguments: &[&str]) -> Ran {
    bursar_with(&[], arguments)
}

#[track_caller]
pub fn bursar_with(environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let Output { status, stdout, stderr } =
        command(environment, arguments).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
    Ran { status: status.code().expect("it ends by itself"), stdout: text(stdout), stderr: text(stderr) }
}

/// The same, not yet run.
pub fn command(environment: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"BURSAR_") {
            command.env_remove(name);
        }
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).envs(environment.iter().copied()).args(arguments);
    command
}

impl Ran {
    #[track_caller]
    pub fn ends(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

pub fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a temporary file");
    path.display().to_string()
}

#[test]
fn it_says_what_it_is() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(bursar(&["version"]).ends(0).stdout, format!("bursar {version}\n"));
    assert_eq!(bursar(&["version", "--json"]).ends(0).json()["version"], version);
    let help = bursar(&["--help"]).ends(0).stdout;
    for status in ["  0  ", "  1  ", "  2  ", "  3  denied", "  4  unavailable"] {
        assert!(help.contains(status), "{help}");
    }
    assert!(bursar(&["completions", "bash"]).ends(0).stdout.contains("bursar"));
}

#[test]
fn a_wrong_command_line_ends_with_two_and_stdout_stays_empty() {
    for arguments in [
        &["no-such-command"][..],
        &[],
        &["authorize", "acme"],
        &["authorize", "acme", "a", "--ttl", "soon"],
        &["authorize", "acme", "a", "--sidecar", "127.0.0.1:7401"],
        &["sidecar", "--listen", "everywhere"],
        &["bench", "acme", "draft", "--rate", "0"],
        &["bench", "acme", "draft", "--warmup", "soon"],
    ] {
        let ran = bursar(arguments).ends(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_away_ends_with_four_and_says_what_helps() {
    let ran = bursar(&["authorize", "acme", "draft", "--sidecar", NOBODY]).ends(4);
    assert!(ran.stdout.is_empty());
    assert!(
        ran.stderr.starts_with(&format!("error: UNREACHABLE: cannot reach `{NOBODY}`")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("\n  help: "), "{}", ran.stderr);
    bursar_with(&[("BURSAR_SIDECAR", "unix:/nowhere/bursar.sock")], &["commit", "h"]).ends(4);
    bursar(&["bench", "acme", "draft", "--sidecar", NOBODY]).ends(4);

    let ran = bursar_with(&[("BURSAR_LEDGER", NOBODY)], &["account", "list", "--json"]).ends(4);
    let error: Value = serde_json::from_str(&ran.stderr).expect("an object");
    assert_eq!(
        (&error["error"]["code"], &error["error"]["reason"]),
        (&"UNAVAILABLE".into(), &"UNREACHABLE".into())
    );
    let ran = bursar_with(&[("BURSAR_LEDGER", NOBODY)], &["balance", "acme", "--ledger"]).ends(4);
    assert!(ran.stderr.contains(NOBODY), "{}", ran.stderr);
}

#[test]
fn playbooks_are_checked() {
    let sample = "examples/support-agent.yaml";
    let ran = bursar(&["playbook", "check", sample]).ends(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains(": ok, playbook `support-agent`"), "{}", ran.stderr);

    let directory = tempfile::tempdir().expect("a directory");
    let bad = write(directory.path(), "bad.yaml", "bursar: 1\nplaybook: p\nversion: 1\ncredits: {}\n");
    let ran = bursar(&["playbook", "check", sample, &bad]).ends(1);
    assert!(ran.stdout.starts_with(&format!("{bad}:")), "{}", ran.stdout);
    let shown = bursar(&["playbook", "check", sample, &bad, "--json"]).ends(1).json();
    assert_eq!((&shown[0]["ok"], &shown[1]["ok"]), (&true.into(), &false.into()));
    assert!(
        shown[1]["findings"].as_array().is_some_and(|found| found.iter().all(|one| one["line"].is_u64()))
    );

    let ran = bursar(&["playbook", "check", "no-such-file.yaml"]).ends(1);
    assert!(ran.stderr.contains("`no-such-file.yaml` cannot be read"), "{}", ran.stderr);
}

#[test]
fn scenarios_are_played_one_line_each() {
    let ran = bursar(&["playbook", "test", "examples"]).ends(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let (last, scenarios) = lines.split_last().expect("a summary");
    assert!(!scenarios.is_empty() && scenarios.iter().all(|line| line.starts_with("ok ")), "{}", ran.stdout);
    assert_eq!(*last, format!("{} passed, 0 failed", scenarios.len()));

    let dealt = bursar(&["playbook", "test", "examples", "--sidecars", "3"]).ends(0);
    // What names sidecars itself is left out.
    let (summary, dealt): (&str, Vec<&str>) = {
        let mut lines: Vec<&str> = dealt.stdout.lines().collect();
        (lines.pop().expect("a summary"), lines)
    };
    assert_eq!(summary, format!("{} passed, 0 failed", dealt.len()));
    assert!(
        dealt.len() + 5 > scenarios.len() && dealt.iter().all(|line| scenarios.contains(line)),
        "{dealt:?}"
    );

    let directory = tempfile::tempdir().expect("a directory");
    let sample = std::fs::read_to_string("examples/support-agent.yaml").expect("the sample");
    write(directory.path(), "policy.yaml", &sample);
    let wrong = "scenario: wrong\nplaybook: policy.yaml\nsteps:\n  - subscribe: {account: a, plan: starter}\n  \
                 - {balance: {account: a}, expect: {available: 99}}\n";
    write(directory.path(), "wrong.yaml", wrong);
    let path = directory.path().display().to_string();
    let ran = bursar(&["playbook", "test", &path]).ends(1);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((lines.len(), lines.get(1)), (2, Some(&"0 passed, 1 failed")), "{}", ran.stdout);
    for part in ["FAIL wrong", "step 2", "99", "100"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let shown = bursar(&["playbook", "test", &path, "--json"]).ends(1).json();
    assert_eq!((&shown["passed"], &shown["failed"]), (&0.into(), &1.into()));
    assert_eq!(shown["scenarios"][0]["failure"]["step"], 2);

    let empty = tempfile::tempdir().expect("a directory");
    bursar(&["playbook", "test", &empty.path().display().to_string()]).ends(1);
}

#[test]
fn configuration_says_where_each_value_came_from() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = write(directory.path(), "bursar.toml", "calls_max = 7\nretain = \"2h\"\n");
    let arguments = ["config", "show", "sidecar", "--config", &file, "--listen", "127.0.0.1:0", "--json"];
    let shown = bursar_with(&[("BURSAR_RETAIN", "3h")], &arguments).ends(0).json();
    let settings = shown[0]["settings"].as_array().expect("settings");
    let of = |key: &str| {
        let found = settings.iter().find(|setting| setting["key"] == key).expect(key);
        (found["value"].as_str().unwrap_or_default(), found["origin"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(of("listen"), ("127.0.0.1:0", "flag --listen".to_owned()));
    assert_eq!(of("retain"), ("3h", "environment BURSAR_RETAIN".to_owned()));
    assert_eq!(of("calls_max"), ("7", format!("{file}:1")));
    assert_eq!(of("unknown_accounts"), ("deny", "default".to_owned()));

    let all = bursar(&["config", "show"]).ends(0).stdout;
    for process in ["# bursar sidecar", "# bursar ledger", "# bursar dev"] {
        assert!(all.contains(process), "{all}");
    }
    let wrong = ["config", "show", "sidecar", "--listen", "x", "--retain", "y"];
    let ran = bursar(&wrong).ends(2);
    assert!(ran.stderr.contains("`listen`") && ran.stderr.contains("`retain`"), "{}", ran.stderr);
}

#[test]
fn a_directory_without_a_journal_is_no_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().display().to_string();
    for command in ["verify", "dump"] {
        let ran = bursar(&["journal", command, &path]).ends(1);
        assert!(ran.stderr.contains("holds no journal"), "{}", ran.stderr);
    }
}
