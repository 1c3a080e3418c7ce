//! Steps carried out one after the other; every invariant after each, and in the end what was answered is what stands.

use std::collections::{BTreeMap, BTreeSet};

use super::books::{Books, in_time};
use super::dice::Dice;
use super::promises::Promises;
use super::steps::{self, Scene};
use crate::credit::State;
use crate::playbook::load;
use crate::scenario::file;
use crate::scenario::operation::Unread;
use crate::scenario::site::operate;
use crate::scenario::value::{Reply, Value};
use crate::scenario::world::World;
use crate::types::{Credits, ReservationId, Timestamp};

pub const SIDECARS: [&str; 3] = ["s1", "s2", "s3"];

/// One world and its history.
pub struct Play {
    pub seed: u64,
    pub dice: Dice,
    pub world: World,
    books: Books,
    pub accounts: Vec<&'static str>,
    pub plans: &'static [&'static str],
    /// Whether new versions of the playbook are published.
    pub publishes: bool,
    /// Runs that were authorised, in order.
    runs: Vec<String>,
    down: BTreeSet<&'static str>,
    /// The last settled charge that each run's settler answered.
    answered: BTreeMap<String, Credits>,
    /// Every settled charge that was answered for a reservation.
    charges: BTreeMap<ReservationId, BTreeSet<Credits>>,
    number: usize,
}

impl Play {
    pub fn new(seed: u64, dice: Dice, start: Timestamp, playbook: &str) -> Self {
        let playbook = load(playbook)
            .unwrap_or_else(|report| panic!("seed {seed}: {}\n{playbook}", report.in_file("playbook")));
        Self {
            seed,
            dice,
            world: World::new(start, playbook, &SIDECARS.map(str::to_owned)),
            books: Books::default(),
            accounts: Vec::new(),
            plans: &[],
            publishes: false,
            runs: Vec::new(),
            down: BTreeSet::new(),
            answered: BTreeMap::new(),
            charges: BTreeMap::new(),
            number: 0,
        }
    }

    /// A step by chance, at an instant; some who are down come back first.
    pub fn step(&mut self, at: Timestamp) {
        self.move_to(at);
        for sidecar in SIDECARS {
            if self.down.contains(sidecar) && self.dice.one_in(4) {
                self.carry_out(sidecar, &format!("restart: {sidecar}"));
            }
        }
        let (sidecar, account) = (self.dice.pick(&SIDECARS), self.dice.pick(&self.accounts));
        let text = steps::step(&mut self.scene(sidecar, account));
        self.carry_out(sidecar, &text);
    }

    /// Something that is asked of an account, at a sidecar; it is not carried out.
    pub fn operation(&mut self, sidecar: &'static str, account: &'static str) -> String {
        steps::operation(&mut self.scene(sidecar, account))
    }

    fn scene(&mut self, sidecar: &'static str, account: &'static str) -> Scene<'_> {
        self.number += 1;
        let runs = self.runs.iter().rev().filter(|run| self.world.runs[*run].account.as_str() == account);
        let runs: Vec<&str> = runs.take(8).map(String::as_str).collect();
        let bought = self.world.grants.keys().filter(|name| name.starts_with(account));
        let bought: Vec<&str> = bought.map(String::as_str).collect();
        Scene {
            run: (!runs.is_empty()).then(|| runs[self.dice.index(runs.len())]),
            grant: (!bought.is_empty()).then(|| bought[self.dice.index(bought.len())]),
            dice: &mut self.dice,
            number: self.number,
            account,
            accounts: &self.accounts,
            sidecar,
            plans: self.plans,
            at: self.world.at,
            next_version: self.publishes.then(|| self.world.playbooks.latest().unwrap().version + 1),
        }
    }

    pub fn move_to(&mut self, at: Timestamp) {
        self.world.move_to(at);
        self.check("after some time");
        self.hold("after some time", |play| in_time(&play.world));
    }

    fn check(&mut self, when: &str) {
        self.hold(when, |play| play.books.check(&play.world));
    }

    fn hold(&mut self, when: &str, check: impl FnOnce(&mut Self) -> Result<(), String>) {
        if let Err(problem) = check(self) {
            if shown() {
                for (account, entries) in &self.world.journals {
                    entries.iter().for_each(|entry| eprintln!("{account}: {entry:?}"));
                }
            }
            panic!("seed {}, {} {when}: {problem}", self.seed, self.world.at);
        }
    }

    pub fn carry_out(&mut self, sidecar: &str, text: &str) {
        if shown() {
            eprintln!("{} {sidecar}: {text}", self.world.at);
        }
        let promises = Promises::of(&self.world, text);
        let done = carry_out(&mut self.world, sidecar, text);
        if shown() {
            eprintln!("    {done:?}");
        }
        self.check(text);
        if let Some(promises) = promises {
            self.hold(text, |play| promises.kept(&play.world, text, &done));
        }
        match text.split_once(": ") {
            Some(("restart", name)) => self.down.retain(|down| *down != name),
            Some(("crash", _)) => self.note_down(sidecar),
            Some(("lose_disk", _)) => {
                self.note_down(sidecar);
                // What only the lost disk knew is lost: the promise is for disks that survive.
                let stands = |run: &String, charged: &mut Credits| {
                    self.is_settled(run) && self.at_ledger(run) == Some(*charged)
                };
                let mut answered = self.answered.clone();
                answered.retain(stands);
                self.answered = answered;
            }
            _ => {}
        }
        match done {
            Err(Unread::Wrong(problem)) if problem.contains("a bug") => {
                panic!("seed {}, {text}: {problem}", self.seed)
            }
            Ok(Value::Map(reply)) => self.note_reply(text, &reply),
            _ => {}
        }
    }

    fn note_down(&mut self, sidecar: &str) {
        self.down.extend(SIDECARS.iter().filter(|name| **name == sidecar));
    }

    fn note_reply(&mut self, text: &str, reply: &Reply) {
        let Some(name) = [" {as: ", "{run: "].iter().find_map(|key| {
            let (_, rest) = text.split_once(key)?;
            Some(rest.split([',', '}']).next()?.to_owned())
        }) else {
            return;
        };
        let Some(run) = self.world.runs.get(&name) else { return };
        let (id, reserved) = (run.id, run.handle.is_some());
        if text.starts_with("refund") {
            // What was answered before is the charge no more.
            self.answered.retain(|run, _| self.world.runs[run].id != id);
            let charged = self.at_ledger(&name);
            self.charges.entry(id).or_default().extend(charged);
            return;
        }
        if text.starts_with("authorize") && reserved {
            self.runs.push(name.clone());
        }
        let Some(Value::Number(charged)) = reply.get("charged") else { return };
        let charged = Credits::new(*charged).unwrap();
        let settled = reply.get("state") == Some(&Value::Text("SETTLED".to_owned()))
            && reply.get("provisional") != Some(&Value::Bool(true));
        // An event is charged by its authorise, and what was accepted may be what stands in the end.
        let accepted = reply.get("state") == Some(&Value::Text("ACCEPTED".to_owned()));
        if settled || accepted || text.starts_with("authorize") && charged.is_positive() {
            self.charges.entry(id).or_default().insert(charged);
        }
        if settled {
            self.answered.insert(name, charged);
        }
    }

    /// What the ledger charged a run that a step named.
    fn at_ledger(&self, run: &str) -> Option<Credits> {
        let known = self.world.runs.get(run)?;
        self.books.charged(&known.account, known.id)
    }

    /// Whether the ledger has the settler's word.
    fn is_settled(&self, run: &str) -> bool {
        let Some(known) = self.world.runs.get(run) else { return false };
        let ended = self.world.accounts[&known.account].book.finals.get(&known.id);
        ended.is_some_and(|ended| ended.provisional.is_none() && ended.state == State::Settled)
    }

    /// The network heals, everyone comes back, and it is `at`: then the books must balance with what was answered.
    pub fn settle_down(&mut self, at: Timestamp) {
        for sidecar in SIDECARS {
            self.carry_out(sidecar, &format!("heal: {sidecar}"));
            if self.down.contains(sidecar) {
                self.carry_out(sidecar, &format!("restart: {sidecar}"));
            }
        }
        self.move_to(at);
        self.world.verify_replay().unwrap_or_else(|problem| panic!("seed {}: {problem}", self.seed));
        for (run, charged) in &self.answered {
            let found = self.at_ledger(run);
            let id = self.world.runs[run].id;
            let same = self.world.runs.values().filter(|other| other.id == id && other.handle.is_some());
            if same.count() == 1 {
                assert_eq!(found, Some(*charged), "seed {}, run {run}: the last answer", self.seed);
                continue;
            }
            // The request id came again after its sidecar had forgotten it, for another request: that was charged anew
            // here, and superseded at the ledger, where one of the answers stands.
            let stands = found.is_some_and(|found| self.charges[&id].contains(&found));
            assert!(stands, "seed {}, run {run}: {found:?} is none of {:?}", self.seed, self.charges[&id]);
        }
    }
}

/// Carries out a step as a scenario would have it written.
pub fn carry_out(world: &mut World, sidecar: &str, text: &str) -> Result<Value, Unread> {
    let document = format!("scenario: x\nplaybook: \"\\n\"\nsteps: [{{{text}}}]\n");
    let mut read = file::read(&document, &|_| Err(String::new()));
    let scenario = read.pop().unwrap().unwrap_or_else(|wrong| panic!("{text}: {}", wrong.problem));
    let done = operate(world, sidecar, &scenario.steps[0]);
    world.deliver();
    done
}

/// `BURSAR_SHOW` shows each step and its answer.
fn shown() -> bool {
    std::env::var("BURSAR_SHOW").is_ok()
}
