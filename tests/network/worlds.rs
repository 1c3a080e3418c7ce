//! Simulated worlds: two sidecars and a ledger, their callers, and faults that the seed draws.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bursar::grpc::proto::v1::State;
use bursar::runtime::{Boottime, Clock, ManualClock};
use bursar::storage::MemoryDisk;
use bursar::types::Timestamp;
use parking_lot::Mutex;
use turmoil::{Builder, Sim};

use crate::calls::{self, Balance, Heard};
use crate::hosts;

/// How far the world goes in one step.
const TICK: Duration = Duration::from_millis(1);

/// A journal writes on a thread of its own, in real time: so long does each step wait for it at least.
const STEP_AT_LEAST: Duration = Duration::from_micros(20);

/// Callers begin runs for so long, and faults begin as long; each is over within a few seconds.
const LASTS: Duration = Duration::from_secs(25);

/// From the last fault on, everything is acknowledged and counted within this.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// No run lives longer than 15 minutes, and no lease is waited for longer than 15 more.
const OVER_AFTER: Duration = Duration::from_secs(3600);

/// Between two faults, in steps.
const FAULT_EVERY: (u64, u64) = (300, 1500);

const SEEDS: u64 = 10;

/// Most of a world's time is waiting for its journals.
const WORLDS_AT_ONCE: usize = 4;

const HOSTS: [&str; 3] = ["ledger", "s1", "s2"];

/// The same numbers for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.below(most - least)
    }
}

/// What was begun, to be ended.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing gets through between a sidecar and the ledger.
    Partition(&'static str),
    /// Nothing gets from the one to the other; the way back is open.
    OneWay(&'static str, &'static str),
    /// What is said waits, and then arrives.
    Held(&'static str),
    /// What is said takes long.
    Slow(&'static str),
    /// A host dies.
    Dead(&'static str),
}

impl Fault {
    fn draw(dice: &mut Dice) -> Self {
        let sidecar = if dice.below(2) == 0 { "s1" } else { "s2" };
        match dice.below(8) {
            0 | 1 => Self::Partition(sidecar),
            2 => Self::OneWay(sidecar, "ledger"),
            3 => Self::OneWay("ledger", sidecar),
            4 => Self::Held(sidecar),
            5 => Self::Slow(sidecar),
            6 => Self::Dead(sidecar),
            _ => Self::Dead("ledger"),
        }
    }

    fn begin(self, sim: &mut Sim<'_>) {
        match self {
            Self::Partition(sidecar) => sim.partition(sidecar, "ledger"),
            Self::OneWay(from, to) => sim.partition_oneway(from, to),
            Self::Held(sidecar) => sim.hold(sidecar, "ledger"),
            Self::Slow(sidecar) => {
                sim.set_link_max_message_latency(sidecar, "ledger", Duration::from_millis(800));
            }
            Self::Dead(host) => sim.crash(host),
        }
    }

    fn end(self, sim: &mut Sim<'_>) {
        match self {
            Self::Partition(sidecar) => sim.repair(sidecar, "ledger"),
            Self::OneWay(from, to) => sim.repair_oneway(from, to),
            Self::Held(sidecar) => sim.release(sidecar, "ledger"),
            Self::Slow(sidecar) => {
                sim.set_link_max_message_latency(sidecar, "ledger", Duration::from_millis(20));
            }
            Self::Dead(host) => sim.bounce(host),
        }
    }

    /// How long it lasts, in steps: some are over before they are noticed, some outlive a lease.
    fn lasts(self, dice: &mut Dice) -> u64 {
        match self {
            Self::Dead(_) => dice.between((10, 1500)),
            _ => dice.between((100, 8000)),
        }
    }
}

struct World<'s> {
    sim: Sim<'s>,
    clocks: Vec<ManualClock>,
    steps: u64,
    dice: Dice,
    faults: Vec<Fault>,
    /// The one under way, and when it ends.
    under_way: Option<(Fault, u64)>,
    next_fault: u64,
}

impl World<'_> {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut sim = Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .simulation_duration(LASTS + SETTLES_WITHIN * 5)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(20))
            .tcp_capacity(1 << 16)
            .build();
        let mut clocks = Vec::new();
        for host in HOSTS {
            // No two machines agree on the time.
            let wall: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
            let skew = i64::try_from(dice.below(20_000_000)).unwrap() - 10_000_000;
            let since_boot = Boottime::from_micros(i64::try_from(dice.below(1 << 40)).unwrap());
            let (clock, hand) = Clock::simulated(since_boot, wall.plus_micros(skew));
            clocks.push(hand);
            let disk = MemoryDisk::new();
            sim.host(host, move || {
                let (disk, clock) = (disk.clone(), clock.clone());
                async move {
                    match host {
                        "ledger" => hosts::ledger(disk, clock).await,
                        _ => hosts::sidecar(disk, clock).await,
                    }
                }
            });
        }
        Self { sim, clocks, steps: 0, dice, faults: Vec::new(), under_way: None, next_fault: 0 }
    }

    /// One step; true once every caller is done.
    fn step(&mut self) -> bool {
        let done = self.sim.step().unwrap();
        self.clocks.iter().for_each(|clock| clock.pass(TICK));
        self.steps += 1;
        std::thread::sleep(STEP_AT_LEAST);
        done
    }

    /// Begins and ends faults as the dice say.
    fn trouble(&mut self) {
        match self.under_way {
            Some((fault, until)) if until <= self.steps => {
                fault.end(&mut self.sim);
                self.under_way = None;
                self.next_fault = self.steps + self.dice.between(FAULT_EVERY);
            }
            None if self.next_fault <= self.steps => {
                let fault = Fault::draw(&mut self.dice);
                fault.begin(&mut self.sim);
                self.under_way = Some((fault, self.steps + fault.lasts(&mut self.dice)));
                self.faults.push(fault);
            }
            _ => {}
        }
    }

    /// The ledger's balance once it is as wanted, or as it is when the time for that is over.
    fn balance(&mut self, wanted: impl Fn(&Balance) -> bool + 'static) -> Balance {
        let found = Arc::new(Mutex::new(None));
        let finding = Arc::clone(&found);
        let name = format!("reader{}", self.steps);
        self.sim.client(name, async move {
            let end = tokio::time::Instant::now() + SETTLES_WITHIN;
            while tokio::time::Instant::now() < end {
                let balance = calls::balance().await;
                *finding.lock() = balance;
                if balance.is_some_and(|balance| wanted(&balance)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Ok(())
        });
        while !self.step() {}
        let balance = *found.lock();
        balance.expect("the ledger tells its balance")
    }

    fn heal(&mut self) {
        if let Some((fault, _)) = self.under_way.take() {
            fault.end(&mut self.sim);
        }
    }
}

/// Plays one world; answers what its callers heard and how many faults there were.
fn play(seed: u64) -> (Heard, usize) {
    let mut world = World::new(seed);
    // What the account may spend is drawn, too: some worlds reach their limits early, some late, some never.
    let limit = 150 + world.dice.below(900);
    let allowed = limit + world.dice.below(100);
    let document = format!(
        "{{bursar: 1, playbook: p, version: 1, credit: {{unit: output, price: 0.10, currency: USD}}, \
         actions: {{draft: {{weight: 1, reserve: {{ttl: 15m}}}}}}, plans: {{basic: {{\
         allowance: {{credits: {allowed}, every: month}}, caps: [{{name: monthly, per: account, limit: {limit}, every: month}}], \
         offline: {{lease: 5s, wait: 1s}}}}}}}}"
    );
    world.sim.client("admin", calls::administer(document));
    while !world.step() {}
    let heard = Arc::new(Mutex::new(Heard::default()));
    for (own, name) in ["c1", "c2"].into_iter().enumerate() {
        let seed = world.dice.next();
        world.sim.client(name, calls::call(own, seed, LASTS, Arc::clone(&heard)));
    }
    let trouble_until = world.steps + u64::try_from(LASTS.as_millis()).unwrap();
    let settled_by = trouble_until + u64::try_from(SETTLES_WITHIN.as_millis()).unwrap();
    while !world.step() {
        match world.steps < trouble_until {
            true => world.trouble(),
            false => world.heal(),
        }
        let faults = &world.faults;
        assert!(
            world.steps < settled_by,
            "seed {seed}: not all is answered though nothing is broken; {faults:?}"
        );
    }
    world.heal();
    let heard = std::mem::take(&mut *heard.lock());
    audit(&mut world, &heard, (allowed, limit), seed);
    (heard, world.faults.len())
}

/// Every acknowledged commit is at the ledger, once; and no limit is passed.
fn audit(world: &mut World<'_>, heard: &Heard, (allowed, limit): (u64, u64), seed: u64) {
    let acknowledged = heard.acknowledged.clone();
    let charged: u64 = acknowledged.iter().map(|run| run.charged).sum();
    // What no block could pay while its own run's hold was still out is debt until that comes back.
    let balance = world.balance(move |balance| balance.spent + balance.debt == charged);
    let story = format!("seed {seed}: allowed {allowed}, capped at {limit}; {:?}", world.faults);
    assert_eq!(
        balance.spent + balance.debt,
        charged,
        "what was acknowledged is charged once: {balance:?}; {story}"
    );
    assert!(charged <= limit, "{charged} charged; {story}");
    world.sim.client("auditor", async move {
        for run in acknowledged {
            let seen = loop {
                if let Some(seen) = calls::reservation(&run).await {
                    break seen;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            let wanted = (State::Settled, run.charged.to_string());
            if seen != wanted {
                return Err(format!("seed {seed}: {} is {seen:?}, and was {wanted:?}", run.handle).into());
            }
        }
        Ok(())
    });
    while !world.step() {}
    // Once every hold and every lease must be over, nothing is stranded, and the books are what the callers were told.
    world.clocks.iter().for_each(|clock| clock.pass(OVER_AFTER));
    let balance =
        world.balance(move |balance| balance.held == 0 && balance.available + balance.spent == allowed);
    let left = allowed - charged;
    let wanted = Balance { spent: charged, held: 0, debt: 0, available: left, cap_used: charged };
    assert_eq!(balance, wanted, "{story}");
}

#[test]
fn what_was_acknowledged_is_at_the_ledger_once_whatever_the_network_does() {
    let seeds = match (std::env::var("BURSAR_TURMOIL_SEED"), std::env::var("BURSAR_TURMOIL")) {
        (Ok(seed), _) => {
            let seed = seed.parse().expect("BURSAR_TURMOIL_SEED is a number");
            seed..seed + 1
        }
        (_, Ok(count)) => 1..1 + count.parse::<u64>().expect("BURSAR_TURMOIL is a number"),
        _ => 1..1 + SEEDS,
    };
    let next = AtomicU64::new(seeds.start);
    let (sum, end) = (Mutex::new((0, 0, 0)), seeds.end);
    std::thread::scope(|threads| {
        for _ in 0..WORLDS_AT_ONCE {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let (heard, faults) = play(seed);
                    let (acknowledged, given_up) = (heard.acknowledged.len(), heard.given_up);
                    println!(
                        "seed {seed}: {faults} faults; {acknowledged} commits acknowledged, {} calls repeated; {} runs denied, \
                         {given_up} given up",
                        heard.repeated, heard.denied
                    );
                    assert!(faults > 2 && acknowledged > 10, "nothing much happened");
                    let mut sum = sum.lock();
                    *sum = (sum.0 + acknowledged, sum.1 + heard.repeated, sum.2 + heard.denied);
                }
            });
        }
    });
    let (acknowledged, repeated, denied) = sum.into_inner();
    println!("{acknowledged} commits acknowledged, {repeated} calls repeated, {denied} runs denied");
}
