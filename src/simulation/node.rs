//! One simulated sidecar: a machine, its disk, and the process that may run on it. What a process knows dies with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::clock::{Boottime, LedgerTime};
use super::disk::{Disk, Stored};
use super::message::{Address, Sender};
use crate::engine::wallet::{Here, Wallet};
use crate::lease::Ask;
use crate::types::{AccountId, Credits, Epoch, Planted, ReservationId, SidecarId, Timestamp};

/// An instant that never comes.
pub const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

#[derive(Debug)]
pub struct Node {
    /// Its place among the nodes.
    pub place: usize,
    pub id: SidecarId,
    pub boottime: Boottime,
    /// Which boot of the machine this is.
    pub boot: u64,
    /// By how much its wall clock is wrong.
    pub wrong: i64,
    /// Counts processes.
    pub life: u64,
    pub disk: Disk,
    pub process: Option<Process>,
    /// The process gets no time before this instant.
    pub paused_until: i64,
}

#[derive(Debug)]
pub struct Process {
    pub wallets: BTreeMap<AccountId, Slot>,
    pub time: LedgerTime,
    pub link: Standing,
    /// The question that is to bring it in touch again.
    pub linking: Option<u64>,
    /// The watch that it listens to.
    pub watch: u64,
    pub recalls_seen: u64,
    /// Accounts that the ledger asked something of: their totals are told with the next report.
    pub recalled: BTreeSet<AccountId>,
    /// The record that must be in the next report: what a recall gave back.
    pub report_from: u64,
    /// The report under way.
    pub reporting: Option<u64>,
    /// Accounts whose totals changed.
    pub dirty: BTreeSet<AccountId>,
    pub asks: u64,
    pub acknowledged: u64,
    /// The disk writes.
    pub flushing: bool,
    /// When its timer is set for, in the world's time.
    pub look_at: Option<i64>,
    /// A report is planned.
    pub report_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not yet, or just lost: whoever has patience waits for what comes of it.
    Trying,
    Up(Sender),
    Down,
}

/// One account in a sidecar's memory.
#[derive(Debug)]
pub struct Slot {
    pub wallet: Wallet,
    /// The record of the newest lease, or of the seal: nothing of it is answered before that is on disk.
    pub barrier: u64,
    pub renewing: bool,
    /// Use that an ask was to tell and that no answer came to.
    pub burn: Credits,
    /// The call that may ask, and those that wait for that.
    pub turn: Option<u64>,
    pub waiting: VecDeque<u64>,
    pub elsewhere: BTreeMap<ReservationId, Timestamp>,
    /// The number of the newest ask about the account, 0 where none was sent.
    pub asked: u64,
}

impl Slot {
    fn new(account: AccountId) -> Self {
        Self {
            wallet: Wallet::new(account),
            barrier: 0,
            renewing: false,
            burn: Credits::ZERO,
            turn: None,
            waiting: VecDeque::new(),
            elsewhere: BTreeMap::new(),
            asked: 0,
        }
    }

    /// Does what is due; true where the lease is to be renewed.
    pub fn pass_time(&mut self, here: Here<'_>, disk: &mut Disk) -> bool {
        let Some(Ask { burn, .. }) = self.wallet.tick(here, disk) else { return false };
        self.burn += burn;
        self.renewing = true;
        true
    }

    pub fn next_due(&self) -> Timestamp {
        if !self.renewing {
            return self.wallet.next_timer().unwrap_or(NEVER);
        }
        // While the renewal is under way, its own time is no reason to look again.
        let deadline = self.wallet.book.deadlines.first().map(|(at, _)| *at);
        let lease = self.wallet.lease.as_ref().map(|lease| lease.until);
        [deadline, lease].into_iter().flatten().min().unwrap_or(NEVER)
    }
}

impl Process {
    fn new(time: LedgerTime) -> Self {
        Self {
            wallets: BTreeMap::new(),
            time,
            link: Standing::Trying,
            linking: None,
            watch: 0,
            recalls_seen: 0,
            recalled: BTreeSet::new(),
            report_from: 0,
            reporting: None,
            dirty: BTreeSet::new(),
            asks: 1,
            acknowledged: 0,
            flushing: false,
            look_at: None,
            report_at: None,
        }
    }

    pub fn slot(&mut self, account: &AccountId) -> &mut Slot {
        self.wallets.entry(account.clone()).or_insert_with(|| Slot::new(account.clone()))
    }

    pub fn sender(&self) -> Option<Sender> {
        match self.link {
            Standing::Up(who) => Some(who),
            Standing::Trying | Standing::Down => None,
        }
    }
}

impl Node {
    pub fn new(place: usize, id: SidecarId, boottime: Boottime, wrong: i64) -> Self {
        Self {
            place,
            id,
            boottime,
            boot: 1,
            wrong,
            life: 0,
            disk: Disk::default(),
            process: None,
            paused_until: 0,
        }
    }

    pub fn address(&self) -> Address {
        Address { node: self.place, life: self.life }
    }

    /// Whether what was meant for `address` still finds it.
    pub fn is_at(&self, address: Address) -> bool {
        self.life == address.life && self.process.is_some()
    }

    pub fn who(&self) -> Sender {
        Sender { sidecar: self.id, epoch: Epoch { generation: 1, start: self.disk.start } }
    }

    /// A process starts and reads the journal.
    pub fn start(&mut self, now: i64, wall: i64, playbooks: &crate::engine::contract::Playbooks) {
        self.life += 1;
        self.disk.start += 1;
        let clean = std::mem::take(&mut self.disk.clean);
        let learned = self.disk.records.iter().rev().find_map(|(_, stored)| match stored {
            Stored::Attached { boot, offset } => Some((*boot == self.boot).then_some(*offset)),
            _ => None,
        });
        let boottime = self.boottime.at(now);
        let time = match learned.flatten() {
            Some(offset) => LedgerTime::resumed(offset),
            None => LedgerTime::estimated(wall + self.wrong - boottime),
        };
        let mut process = Process::new(time);
        for (number, (_, stored)) in (1..).zip(&self.disk.records) {
            match stored {
                Stored::Record(record) => {
                    let wallet = &mut process.slot(&record.account).wallet;
                    wallet.resume_handing(number, &record.event);
                    wallet.apply(record.event.clone(), playbooks);
                }
                Stored::Elsewhere { account, id, until } => {
                    process.slot(account).elsewhere.insert(*id, *until);
                }
                Stored::Attached { .. } => {}
            }
        }
        self.disk.find_pending();
        let here = Here { playbooks, at: process.time.now(boottime) };
        let is_learned = process.time.offset().is_some();
        for slot in process.wallets.values_mut() {
            let clean = clean || Planted::MarkUnsealed.is_here();
            slot.barrier = slot.wallet.restarted(clean, is_learned, here, &mut self.disk).unwrap_or_default();
        }
        self.process = Some(process);
    }

    /// The process ends, and of what was not flushed the first `kept` records are on disk all the same.
    pub fn crash(&mut self, kept: u64) {
        self.disk.crash(kept);
        self.process = None;
        self.paused_until = 0;
    }
}
