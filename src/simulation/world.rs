//! Sidecars, ledger, network, callers and troubles of one world, and its single thread of time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agenda::{Agenda, Event};
use super::auditor::Auditor;
use super::call::Call;
use super::callers::Callers;
use super::clock::{Boottime, WallTime};
use super::dice::Dice;
use super::fleet::Fleet;
use super::ledger::Ledger;
use super::message::{Address, Sender};
use super::network::Network;
use super::node::{Node, Standing};
use super::trace::Trace;
use crate::engine::contract::Playbooks;
use crate::types::{SidecarId, Timestamp};

/// A question on its way, and what it is for.
#[derive(Clone, Copy, Debug)]
pub enum Rpc {
    Attach { to: Address, asked: i64, knew: u64 },
    Watch { to: Address, who: Sender, acknowledged: u64, knew: u64 },
    Report { to: Address },
    Call { call: u64 },
}

/// Numbers that no two things of a world share.
#[derive(Debug, Default)]
pub struct Numbers(u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

#[derive(Debug)]
pub struct World {
    /// Microseconds since the world began.
    pub now: i64,
    pub dice: Dice,
    pub agenda: Agenda,
    pub playbooks: Arc<Playbooks>,
    pub nodes: Vec<Node>,
    pub ledger: Ledger,
    pub network: Network,
    pub calls: BTreeMap<u64, Call>,
    pub rpcs: BTreeMap<u64, Rpc>,
    pub numbers: Numbers,
    pub callers: Callers,
    pub auditor: Auditor,
    pub trace: Trace,
    /// In a world that only measures: its callers are the fleet's.
    pub fleet: Option<Box<Fleet>>,
    /// The ledger's time by the sidecar's clock that went furthest: where the ledger's own is set back, sidecars go on by
    /// what they learned before.
    pub furthest: Timestamp,
    /// Since when everybody is in touch and nothing is amiss.
    pub calm_since: Option<i64>,
    /// A process that dies in the moment in which it answers a commit, and until when it is dead.
    pub doomed: Option<(usize, i64)>,
    /// The first thing that was wrong.
    pub problem: Option<String>,
    /// Steps taken, and how many there are to be.
    pub steps: u64,
    pub most: u64,
    pub messages: u64,
}

/// Drift of a clock, in millionths: ten times that of a bad quartz.
const DRIFT: i64 = 1000;

/// A wall clock is wrong by as much as this.
const WRONG: i64 = 7_200_000_000;

/// When worlds begin: 1 January 2026, in microseconds since 1970.
pub const BEGIN: i64 = 1_767_225_600_000_000;

impl World {
    pub fn new(seed: u64, nodes: usize, most: u64, playbooks: Playbooks) -> Self {
        let mut dice = Dice::new(seed);
        let mut numbers = Numbers::default();
        let boottime = Boottime { drift: dice.between(-DRIFT, DRIFT), booted: -dice.between(0, DRIFT) };
        let time = WallTime { boottime, wall: BEGIN, latest: 0 };
        let nodes: Vec<Node> = (0..nodes)
            .map(|place| {
                let boottime =
                    Boottime { drift: dice.between(-DRIFT, DRIFT), booted: -dice.between(0, WRONG) };
                Node::new(place, sidecar_id(numbers.next()), boottime, dice.between(-WRONG, WRONG))
            })
            .collect();
        Self {
            now: 0,
            dice,
            agenda: Agenda::default(),
            playbooks: Arc::new(playbooks),
            network: Network::new(nodes.len()),
            nodes,
            ledger: Ledger::new(time),
            calls: BTreeMap::new(),
            rpcs: BTreeMap::new(),
            numbers,
            callers: Callers::default(),
            auditor: Auditor::default(),
            trace: Trace::default(),
            fleet: None,
            furthest: Timestamp::default(),
            calm_since: None,
            doomed: None,
            problem: None,
            steps: 0,
            most,
            messages: 0,
        }
    }

    pub fn fail(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    pub fn draw_sidecar(&mut self) -> SidecarId {
        sidecar_id(self.numbers.next())
    }

    /// Does what comes next. False once nothing is planned, or something is wrong.
    pub fn go_on(&mut self) -> bool {
        let Some((at, event)) = self.agenda.next() else { return false };
        self.now = self.now.max(at);
        if let Some(until) = self.paused(&event) {
            self.agenda.plan(until, event);
            return true;
        }
        self.trace.event(self.now, &event);
        self.happen(event);
        let calm = self.fleet.is_none() && self.is_calm();
        self.calm_since = if calm { self.calm_since.or(Some(self.now)) } else { None };
        self.problem.is_none()
    }

    /// A paused process gets no time: until when.
    fn paused(&self, event: &Event) -> Option<i64> {
        let place = match event {
            Event::Message(message) => match &**message {
                super::message::Message::Question(_) => return None,
                super::message::Message::Answer { to, .. } | super::message::Message::Told { to, .. } => {
                    to.node
                }
            },
            Event::Look(to)
            | Event::Flushed(to, _)
            | Event::Report(to)
            | Event::Relink(to)
            | Event::WatchLost(to, _) => to.node,
            Event::Deadline(call) | Event::Turn(call) => self.calls.get(call)?.place,
            _ => return None,
        };
        let until = self.nodes.get(place)?.paused_until;
        (until > self.now).then_some(until)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.deliver(*message),
            Event::Look(to) => self.look(to),
            Event::Flushed(to, through) => self.flushed(to, through),
            Event::Report(to) => self.report(to),
            Event::Relink(to) => self.relink(to),
            Event::WatchLost(to, watch) => self.watch_lost(to, watch),
            Event::Expired(rpc) => self.expired(rpc),
            Event::Deadline(call) => self.deadline(call),
            Event::Turn(call) => self.has_turn(call),
            Event::LedgerLook(life) => self.look_at_ledger(life),
            Event::Written(life, through, then) => self.wrote(life, through, then),
            Event::JobOver(life, job) => self.job_over(life, job),
            Event::Caller if self.fleet.is_some() => self.fleet_call(),
            Event::Caller => self.call(),
            Event::Ends(run) => self.fleet_ends(run),
            Event::Trouble if self.fleet.is_some() => self.fleet_trouble(),
            Event::Trouble => self.trouble(),
            Event::Restart(place) => self.restart(place),
            Event::LedgerUp => self.ledger_up(),
            Event::Heal(place) => self.heal(place),
            Event::Crash(place, until) => self.crash(place, until),
            Event::Quiet => self.network.is_bad = false,
        }
    }

    fn is_calm(&self) -> bool {
        let in_touch = |node: &Node| {
            node.paused_until <= self.now
                && node.process.as_ref().is_some_and(|process| matches!(process.link, Standing::Up(_)))
        };
        self.ledger.is_up && self.network.is_whole() && self.nodes.iter().all(in_touch)
    }
}

fn sidecar_id(number: u64) -> SidecarId {
    SidecarId(hash(b"sidecar", number))
}

/// Sixteen bytes that look drawn.
pub fn hash(what: &[u8], number: u64) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what).update(&number.to_le_bytes());
    let mut out = [0; 16];
    out.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    out
}
