//! Sidecars, a ledger and a database as a place where a scenario's steps are carried out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bursar::grpc::proto::ledger_v1::account_service_client::AccountServiceClient;
use bursar::grpc::proto::ledger_v1::playbook_service_client::PlaybookServiceClient;
use bursar::grpc::proto::v1::entitlement_service_client::EntitlementServiceClient;
use bursar::scenario::Site;
use bursar::scenario::file::{Scenario, Step};
use bursar::scenario::operation::{Unread, Wrong};
use bursar::scenario::value::Value;
use bursar::types::Timestamp;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use crate::books::Looked;
use crate::process::Process;
use crate::proxy::Wire;

/// Rounds after which processes that still have something to say to each other are a bug.
const ROUNDS_MAX: usize = 1000;

pub struct Processes<'a> {
    pub runtime: &'a Runtime,
    dir: tempfile::TempDir,
    at: Timestamp,
    ledger: Process,
    pub accounts: AccountServiceClient<Channel>,
    pub playbooks: PlaybookServiceClient<Channel>,
    sidecars: BTreeMap<String, Sidecar>,
    /// What steps named with `as`.
    pub runs: BTreeMap<String, Run>,
    pub grants: BTreeMap<String, u64>,
    /// Where `alerts` and `invoice` last looked.
    pub looked: BTreeMap<String, Looked>,
    /// Requests so far: each has an id of its own.
    pub requests: u64,
}

/// A run that a step named; without a handle nothing was reserved.
#[derive(Clone)]
pub struct Run {
    pub account: String,
    pub handle: String,
}

struct Sidecar {
    wire: Wire,
    /// `None` while it is down.
    up: Option<(Process, EntitlementServiceClient<Channel>)>,
}

impl<'a> Processes<'a> {
    pub fn start(runtime: &'a Runtime, database: &str, scenario: &Scenario) -> Self {
        let dir = tempfile::Builder::new().prefix("bursar-processes-").tempdir().unwrap();
        let at = scenario.start;
        let arguments = ["ledger", "--database", database, "--listen", "127.0.0.1:0", "--log", "warn"];
        let ledger = Process::start(dir.path(), "ledger", at, &arguments);
        let channel = runtime.block_on(async { connect(ledger.address) });
        let mut processes = Self {
            runtime,
            dir,
            at,
            accounts: AccountServiceClient::new(channel.clone()),
            playbooks: PlaybookServiceClient::new(channel),
            sidecars: BTreeMap::new(),
            runs: BTreeMap::new(),
            grants: BTreeMap::new(),
            looked: BTreeMap::new(),
            requests: 0,
            ledger,
        };
        for name in &scenario.sidecars {
            let wire = runtime.block_on(Wire::to(processes.ledger.address));
            let up = Some(processes.start_sidecar(name, &wire));
            processes.sidecars.insert(name.clone(), Sidecar { wire, up });
        }
        processes
    }

    fn data(&self, sidecar: &str) -> PathBuf {
        self.dir.path().join(format!("{sidecar}.data"))
    }

    fn start_sidecar(&self, name: &str, wire: &Wire) -> (Process, EntitlementServiceClient<Channel>) {
        let (ledger, data) = (format!("http://{}", wire.address), self.data(name).display().to_string());
        let places =
            ["--ledger", &ledger, "--data-dir", &data, "--listen", "127.0.0.1:0", "--socket", "none"];
        let arguments = [&["sidecar", "--threads", "1", "--log", "warn"], &places[..]].concat();
        let process = Process::start(self.dir.path(), name, self.at, &arguments);
        let channel = self.runtime.block_on(async { connect(process.address) });
        (process, EntitlementServiceClient::new(channel))
    }

    pub fn client(&self, sidecar: &str) -> Result<EntitlementServiceClient<Channel>, Wrong> {
        let up = self.sidecars.get(sidecar).and_then(|sidecar| sidecar.up.as_ref());
        up.map(|(_, client)| client.clone()).ok_or_else(|| format!("sidecar `{sidecar}` is not running"))
    }

    pub fn partition(&mut self, sidecar: &str, cut: bool) -> Result<(), Wrong> {
        self.sidecar(sidecar)?.wire.cut(cut);
        Ok(())
    }

    /// What was journaled survives: before the last step's end it was on disk.
    pub fn crash(&mut self, sidecar: &str) -> Result<(), Wrong> {
        if let Some((mut process, _)) = self.sidecar(sidecar)?.up.take() {
            process.kill();
        }
        Ok(())
    }

    pub fn restart(&mut self, sidecar: &str) -> Result<(), Wrong> {
        let (name, mut held) = self.sidecars.remove_entry(sidecar).ok_or_else(|| unknown(sidecar))?;
        if held.up.is_none() {
            held.up = Some(self.start_sidecar(sidecar, &held.wire));
            self.sidecars.insert(name, held);
            return Ok(());
        }
        self.sidecars.insert(name, held);
        Err(format!("sidecar `{sidecar}` is running"))
    }

    pub fn lose_disk(&mut self, sidecar: &str) -> Result<(), Wrong> {
        self.crash(sidecar)?;
        std::fs::remove_dir_all(self.data(sidecar)).map_err(|error| error.to_string())
    }

    fn sidecar(&mut self, name: &str) -> Result<&mut Sidecar, Wrong> {
        self.sidecars.get_mut(name).ok_or_else(|| unknown(name))
    }

    /// Lets everyone do what is due now, until nothing comes of it any more; answers when time next does something.
    fn settle(&mut self) -> Result<Option<Timestamp>, Wrong> {
        let mut before = None;
        for _ in 0..ROUNDS_MAX {
            let ledger = self.ledger.settle(true).map_err(|why| self.failed("ledger", why))?;
            let mut next = ledger.next;
            let mut done = vec![ledger.done];
            let mut missing = false;
            let mut failures = Vec::new();
            for (name, sidecar) in &mut self.sidecars {
                let online = !sidecar.wire.is_cut();
                let Some((process, _)) = &mut sidecar.up else { continue };
                let settled = match process.settle(online) {
                    Ok(settled) => settled,
                    Err(why) => {
                        failures.push((name.clone(), why));
                        continue;
                    }
                };
                next = [next, settled.next].into_iter().flatten().min();
                done.push(settled.done);
                missing |= online && settled.watches.iter().any(|watch| !ledger.watches.contains(watch));
            }
            if let Some((name, why)) = failures.pop() {
                return Err(self.failed(&name, why));
            }
            // A watch's changes are on their way as long as its counts differ.
            if !missing && before.as_ref() == Some(&done) {
                return Ok(next);
            }
            before = Some(done);
        }
        Err("the processes do not come to rest".to_owned())
    }

    /// What a process did not do, with what it logged.
    fn failed(&self, name: &str, why: String) -> Wrong {
        let log = std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
        format!("{name}: {why}\n{log}")
    }

    fn set(&mut self, at: Timestamp) {
        self.at = at;
        self.ledger.set(at);
        for (process, _) in self.sidecars.values_mut().filter_map(|sidecar| sidecar.up.as_mut()) {
            process.set(at);
        }
    }

    /// What the processes logged.
    pub fn logs(&self) -> String {
        let names = self.sidecars.keys().map(String::as_str).chain(["ledger"]);
        names.map(|name| self.failed(name, String::new())).collect()
    }
}

impl Site for Processes<'_> {
    fn now(&self) -> Timestamp {
        self.at
    }

    fn move_to(&mut self, at: Timestamp) -> Result<(), Wrong> {
        loop {
            let next = self.settle()?;
            let Some(next) = next.filter(|next| *next <= at) else { break };
            if next <= self.at {
                return Err(format!("something is due at {next} that {} did not do", self.at));
            }
            self.set(next);
        }
        self.set(at);
        Ok(())
    }

    fn operate(&mut self, sidecar: &str, step: &Step) -> Result<Value, Unread> {
        self.carry_out(sidecar, step)
    }

    fn deliver(&mut self) -> Result<(), Wrong> {
        self.settle().map(drop)
    }

    /// The processes verify each account after every command, and answer nothing of one that is broken.
    fn verify(&self) -> Result<(), String> {
        let log = std::fs::read_to_string(self.dir.path().join("ledger.log")).unwrap_or_default();
        match log.lines().find(|line| line.contains("could not be applied") || line.contains("is broken")) {
            Some(line) => Err(line.to_owned()),
            None => Ok(()),
        }
    }
}

fn connect(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true).connect_lazy()
}

fn unknown(name: &str) -> Wrong {
    format!("no sidecar is called `{name}`")
}
