//! What is still to happen, in order of time; what falls on one instant happens in the order in which it was planned.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::ledger::Outgoing;
use super::message::{Address, Message};

#[derive(Debug)]
pub enum Event {
    Message(Box<Message>),
    /// A sidecar's timer.
    Look(Address),
    /// A sidecar's disk has written through this record.
    Flushed(Address, u64),
    /// A sidecar reports, if it has anything to tell.
    Report(Address),
    /// A sidecar tries to reach the ledger.
    Relink(Address),
    /// A watch is found to be silent.
    WatchLost(Address, u64),
    /// Nobody waits any longer for the answer to this question.
    Expired(u64),
    /// The caller's patience with the ledger is over.
    Deadline(u64),
    /// It is this call's turn to ask for its account.
    Turn(u64),
    LedgerLook(u64),
    /// The ledger of this life has written so much of its journal; then these may go out.
    Written(u64, usize, Vec<Outgoing>),
    /// A job of the ledger has waited long enough: for its turn, or for answers to its recall.
    JobOver(u64, u64),
    Caller,
    /// A run of a fleet comes to its end.
    Ends(u64),
    Trouble,
    Restart(usize),
    LedgerUp,
    Heal(usize),
    /// A process dies, until then.
    Crash(usize, i64),
    Quiet,
}

#[derive(Debug)]
struct Item {
    at: i64,
    number: u64,
    event: Event,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Debug, Default)]
pub struct Agenda {
    items: BinaryHeap<Reverse<Item>>,
    planned: u64,
}

impl Agenda {
    pub fn plan(&mut self, at: i64, event: Event) {
        self.planned += 1;
        self.items.push(Reverse(Item { at, number: self.planned, event }));
    }

    pub fn next(&mut self) -> Option<(i64, Event)> {
        self.items.pop().map(|Reverse(item)| (item.at, item.event))
    }
}
