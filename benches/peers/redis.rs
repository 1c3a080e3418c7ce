//! Redis: a wallet is a number, a reservation a key that expires. Both scripts are the least that does what a call does.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::burst::Burst;
use super::calls::Size;
use super::measure::{CONNECTIONS, Level, Transport};
use super::meter::Meter;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/redis");

/// How many wallets, what is in each.
const OPEN: &str = "
for wallet = 0, ARGV[1] - 1 do redis.call('SET', 'wallet:' .. wallet, ARGV[2]) end
return 1";

/// The wallet, the reservation; how much, for how many seconds.
const RESERVE: &str = "
local balance = tonumber(redis.call('GET', KEYS[1]))
if not balance or balance < tonumber(ARGV[1]) then return 0 end
redis.call('DECRBY', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return 1";

/// The wallet, the reservation; how much was used.
const SETTLE: &str = "
local held = tonumber(redis.call('GET', KEYS[2]))
if not held then return 0 end
redis.call('INCRBY', KEYS[1], held - ARGV[1])
redis.call('DEL', KEYS[2])
return 1";

const BALANCE: &str = "1000000000000";
const HELD: &str = "300";
const USED: &str = "200";
const SECONDS: &str = "60";

/// When its journal is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Everysec,
    Always,
}

impl Policy {
    pub const ALL: [Self; 2] = [Self::Everysec, Self::Always];

    pub fn name(self) -> &'static str {
        match self {
            Self::Everysec => "everysec",
            Self::Always => "always",
        }
    }
}

/// Over which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A few, each with many commands under way.
    Pipelined,
    /// As many as there are commands under way, as in a pool.
    OneByOne,
}

/// A Redis that ends with this value.
struct Process {
    dir: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _best_effort = Command::new(SCRIPT).args(["stop", &self.dir]).status();
    }
}

pub struct Redis {
    pub policy: Policy,
    _process: Process,
    meter: Meter,
    /// As many as there are commands in flight at most; of these, pipelines take the first.
    connections: Vec<Connection>,
    /// Wallets that calls go round.
    called: u64,
    /// Names of the scripts.
    reserve: String,
    settle: String,
    /// The number of the next reservation.
    next: u64,
}

impl Redis {
    /// With as many wallets as there are accounts. `data`: where its journal lies.
    pub async fn start(
        policy: Policy,
        transport: Transport,
        size: Size,
        connections_max: usize,
        data: &Path,
    ) -> Result<Self> {
        let data = data.join(policy.name());
        std::fs::create_dir(&data)?;
        let mut start = Command::new(SCRIPT);
        start.args(["start", policy.name()]).arg(&data).stderr(Stdio::inherit());
        let started = start.output()?;
        ensure!(started.status.success(), "Redis did not start");
        let said = String::from_utf8(started.stdout)?;
        let lines: Vec<&str> = said.lines().collect();
        let [dir, process, socket, address] = lines.as_slice() else { bail!("`{said}`") };
        let server = Process { dir: (*dir).to_owned() };
        let mut connections = Vec::new();
        for _ in 0..connections_max {
            connections.push(match transport {
                Transport::Uds => Connection::over(UnixStream::connect(socket).await?),
                Transport::Tcp => {
                    let io = TcpStream::connect(address).await?;
                    io.set_nodelay(true)?;
                    Connection::over(io)
                }
            });
        }
        let first = connections.first_mut().context("no connection")?;
        let wallets = (size.called() + size.idle()).to_string();
        first.ask(&["EVAL", OPEN, "0", &wallets, BALANCE]).await?;
        let reserve = first.ask(&["SCRIPT", "LOAD", RESERVE]).await?;
        let settle = first.ask(&["SCRIPT", "LOAD", SETTLE]).await?;
        let (called, meter) = (size.called(), Meter(vec![process.parse()?]));
        Ok(Self { policy, _process: server, meter, connections, called, reserve, settle, next: 0 })
    }

    /// A burst of reservations, and a burst that settles them.
    pub async fn turn(&mut self, level: Level, asked: Asked) -> Result<[Burst; 2]> {
        let (mut reserves, mut settles) = (Vec::new(), Vec::new());
        for number in self.next..self.next + level.burst {
            let (wallet, run) = (format!("wallet:{}", number % self.called), format!("run:{number:012}"));
            reserves.push(command(&["EVALSHA", &self.reserve, "2", &wallet, &run, HELD, SECONDS]));
            settles.push(command(&["EVALSHA", &self.settle, "2", &wallet, &run, USED]));
        }
        self.next += level.burst;
        let reserved = self.burst(&reserves, level.in_flight, asked).await?;
        Ok([reserved, self.burst(&settles, level.in_flight, asked).await?])
    }

    async fn burst(&mut self, commands: &[Bytes], in_flight: usize, asked: Asked) -> Result<Burst> {
        let over = match asked {
            Asked::Pipelined => CONNECTIONS,
            Asked::OneByOne => in_flight,
        };
        let (parts, each) = (commands.len().div_ceil(over), in_flight / over);
        let (connections, meter) = (&mut self.connections, &self.meter);
        let making = async {
            let began = Instant::now();
            let work = connections.iter_mut().zip(commands.chunks(parts));
            let done = try_join_all(work.map(|(connection, part)| connection.pipeline(part, each))).await?;
            Burst::seen(done.concat(), began.elapsed())
        };
        Burst::metered(meter, making).await
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

struct Connection {
    io: Box<dyn Wire>,
    /// Read, and not understood yet.
    bytes: BytesMut,
}

impl Connection {
    fn over(io: impl Wire + 'static) -> Self {
        Self { io: Box::new(io), bytes: BytesMut::new() }
    }

    /// One command, answered in one line or by a string without any line break.
    async fn ask(&mut self, parts: &[&str]) -> Result<String> {
        self.io.write_all(&command(parts)).await?;
        let mut line = self.next_line().await?;
        if line.starts_with(b"$") {
            line = self.next_line().await?;
        }
        ensure!(!line.starts_with(b"-"), "{}", String::from_utf8_lossy(&line));
        Ok(String::from_utf8(line.into())?)
    }

    /// So many in flight: what is answered together is followed by as many together.
    async fn pipeline(&mut self, commands: &[Bytes], in_flight: usize) -> Result<Vec<(Bytes, Duration)>> {
        let (mut sent, mut done) = (Vec::with_capacity(commands.len()), Vec::with_capacity(commands.len()));
        let mut room = in_flight;
        while done.len() < commands.len() {
            let next: Vec<&[u8]> = commands.iter().skip(sent.len()).take(room).map(Bytes::as_ref).collect();
            sent.resize(sent.len() + next.len(), Instant::now());
            self.io.write_all(&next.concat()).await?;
            room = 0;
            let mut line = Some(self.next_line().await?);
            while let Some(answer) = line {
                ensure!(answer == ":1", "a reservation failed: {}", String::from_utf8_lossy(&answer));
                let asked: &Instant = sent.get(done.len()).context("nobody asked for that")?;
                done.push((answer, asked.elapsed()));
                room += 1;
                line = self.line();
            }
        }
        Ok(done)
    }

    async fn next_line(&mut self) -> Result<Bytes> {
        loop {
            if let Some(line) = self.line() {
                return Ok(line);
            }
            ensure!(self.io.read_buf(&mut self.bytes).await? > 0, "Redis ended the connection");
        }
    }

    /// Takes the next whole line, without its end.
    fn line(&mut self) -> Option<Bytes> {
        let length = self.bytes.windows(2).position(|end| end == b"\r\n")?;
        let mut line = self.bytes.split_to(length + 2).freeze();
        line.truncate(length);
        Some(line)
    }
}

/// A command as it is sent.
fn command(parts: &[&str]) -> Bytes {
    let mut text = format!("*{}\r\n", parts.len());
    for part in parts {
        text += &format!("${}\r\n{part}\r\n", part.len());
    }
    text.into()
}
