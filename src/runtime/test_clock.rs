//! A clock that a test moves, over a Unix socket of the test's: no release build has it.
//!
//! The test says one line at a time, beginning with an `at`, and the process answers each with one line.
//!
//! | the test says | the process | and answers |
//! |---|---|---|
//! | `at MICROS` | sets its clocks | `ok` |
//! | `settle online`, `settle offline` | does what is due, until nothing more comes of it | what `Settled` says, or `failed` and why |

use std::env;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::clock::{Boottime, Clock, ManualClock};
use crate::types::Timestamp;

/// Names the socket.
const VARIABLE: &str = "BURSAR_TEST_CLOCK";

/// The process's end of the socket.
#[derive(Debug)]
pub struct TestClock {
    clock: Clock,
    hand: ManualClock,
    test: BufReader<UnixStream>,
}

/// A process at rest.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// How much it has done so far: the same number twice means that nothing came of the time between.
    pub done: u64,
    /// When time next does something here.
    pub next: Option<Timestamp>,
    /// By sidecar: changes that it was told over its watch (as the ledger counts), or heard (as it counts itself).
    pub watches: Vec<(String, u64)>,
}

/// A process that can say when it is at rest.
pub trait Settles {
    /// Does what is due. `online`: whether the other side is in reach, as the test has arranged it.
    fn settle(&self, online: bool) -> impl Future<Output = Result<Settled, String>> + Send;
}

impl TestClock {
    /// `None` where the environment names no socket.
    pub async fn of_environment() -> io::Result<Option<Self>> {
        let Some(path) = env::var_os(VARIABLE) else { return Ok(None) };
        let mut test = BufReader::new(UnixStream::connect(path).await?);
        let first = line(&mut test).await?;
        let at = micros(&first).ok_or_else(|| io::Error::other(format!("`{first}` is no `at MICROS`")))?;
        let (clock, hand) = Clock::manual(Boottime::from_micros(at), Timestamp::from_micros(at));
        say(&mut test, "ok").await?;
        Ok(Some(Self { clock, hand, test }))
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Does as the test says until it is gone.
    pub async fn obey(mut self, process: &impl Settles) {
        loop {
            let Ok(said) = line(&mut self.test).await else { return };
            let answer = match said.as_str() {
                "settle online" => answered(process.settle(true).await),
                "settle offline" => answered(process.settle(false).await),
                other => match micros(other) {
                    Some(at) => {
                        let on = at.saturating_sub(self.clock.wall().micros());
                        self.hand.pass(Duration::from_micros(u64::try_from(on).unwrap_or_default()));
                        "ok".to_owned()
                    }
                    None => format!("failed `{other}` is nothing that is done"),
                },
            };
            if say(&mut self.test, &answer).await.is_err() {
                return;
            }
        }
    }
}

fn answered(settled: Result<Settled, String>) -> String {
    match settled {
        Ok(Settled { done, next, watches }) => {
            let next = next.map_or_else(|| "-".to_owned(), |next| next.micros().to_string());
            let watches: String = watches.iter().map(|(who, count)| format!(" {who}={count}")).collect();
            format!("settled {done} {next}{watches}")
        }
        Err(why) => format!("failed {}", why.replace('\n', " ")),
    }
}

fn micros(line: &str) -> Option<i64> {
    line.strip_prefix("at ")?.parse().ok()
}

async fn line(test: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    if test.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn say(test: &mut BufReader<UnixStream>, line: &str) -> io::Result<()> {
    test.write_all(format!("{line}\n").as_bytes()).await
}
