//! One process of the binary, and the test's end of its clock.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bursar::types::Timestamp;

/// A process that has not come up, or has not settled, within this never will.
const WITHIN: Duration = Duration::from_secs(60);

pub struct Process {
    child: Child,
    clock: BufReader<UnixStream>,
    pub address: SocketAddr,
}

/// A process at rest.
pub struct Settled {
    /// The same number twice: nothing came of the time between.
    pub done: u64,
    pub next: Option<Timestamp>,
    /// By sidecar: changes given to its watch, or heard over it.
    pub watches: Vec<(String, u64)>,
}

impl Process {
    /// Starts it at an instant of the test's clock. What it logs goes to `NAME.log` in `dir`.
    pub fn start(dir: &Path, name: &str, at: Timestamp, arguments: &[&str]) -> Self {
        let socket = dir.join(format!("{name}.clock"));
        let _none_before = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log"))).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_bursar"))
            .args(arguments)
            .arg("--json")
            .env("BURSAR_TEST_CLOCK", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let clock = accepted(&listener, &mut child, name);
        let mut process = Self { child, clock, address: ([0, 0, 0, 0], 0).into() };
        process.set(at);
        let mut line = String::new();
        BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
        process.address = said["address"].as_str().unwrap().parse().unwrap();
        process
    }

    /// Sets its clock; nothing is done yet of what is due then.
    pub fn set(&mut self, at: Timestamp) {
        let answer = self.ask(&format!("at {}", at.micros())).unwrap();
        assert_eq!(answer, "ok");
    }

    /// Lets it do what is due, until nothing more comes of it.
    pub fn settle(&mut self, online: bool) -> Result<Settled, String> {
        let answer = self.ask(if online { "settle online" } else { "settle offline" })?;
        let mut words = answer.split(' ');
        if words.next() != Some("settled") {
            return Err(answer);
        }
        let done = words.next().unwrap().parse().unwrap();
        let next = words.next().unwrap().parse().ok().map(Timestamp::from_micros);
        let watch = |word: &str| {
            let (who, count) = word.split_once('=').unwrap();
            (who.to_owned(), count.parse().unwrap())
        };
        Ok(Settled { done, next, watches: words.map(watch).collect() })
    }

    fn ask(&mut self, line: &str) -> Result<String, String> {
        let gone = |error: std::io::Error| format!("a process does not answer its clock: {error}");
        self.clock.get_mut().write_all(format!("{line}\n").as_bytes()).map_err(gone)?;
        let mut answer = String::new();
        self.clock.read_line(&mut answer).map_err(gone)?;
        Ok(answer.trim_end().to_owned())
    }

    /// Without warning, as a crash does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn accepted(listener: &UnixListener, child: &mut Child, name: &str) -> BufReader<UnixStream> {
    const LOOK_EVERY: Duration = Duration::from_millis(1);
    for _ in 0..WITHIN.as_millis() {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(WITHIN)).unwrap();
                return BufReader::new(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK_EVERY),
            Err(error) => panic!("{name}: {error}"),
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("{name} ended with {status} before it asked for the time");
        }
    }
    panic!("{name} did not ask for the time in {WITHIN:?}");
}
