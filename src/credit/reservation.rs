//! What is known of an open run, and of an ended one.

use std::collections::BTreeMap;
use std::fmt;

use minicbor::{Decode, Encode};

use super::cap::{CapHold, CapKey, Kind};
use super::hold::{self, Draw};
use super::refusal::Decision;
use super::retry::ChainLink;
use crate::playbook::charge::{Quantities, RunResult};
use crate::types::{Credits, Name, Quantity, RequestId, ReservationId, SidecarId, Timestamp};

/// Who causes a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Subject {
    #[n(0)]
    pub team: Option<Name>,
    #[n(1)]
    pub user: Option<Name>,
    #[n(2)]
    pub agent: Option<Name>,
}

/// What authorise was asked: a repeated request id must come with the same.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Run {
    #[n(0)]
    pub action: Name,
    #[n(1)]
    pub subject: Subject,
    #[n(2)]
    pub quantities: Quantities,
    #[n(3)]
    pub dimensions: BTreeMap<Name, Name>,
    #[n(4)]
    pub run_id: Option<Name>,
    #[n(5)]
    pub parent: Option<ReservationId>,
    #[n(6)]
    pub retry_of: Option<ReservationId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum State {
    #[n(0)]
    Held,
    #[n(1)]
    AwaitingOutcome,
    /// A commit is safe on disk and on its way to its settler.
    #[n(2)]
    Accepted,
    #[n(3)]
    Settled,
    #[n(4)]
    Released,
    #[n(5)]
    Lapsed,
}

/// An open run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reservation {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub run: Run,
    /// The playbook version whose weights and rules hold for it.
    #[n(2)]
    pub version: u32,
    #[n(3)]
    pub authorized_at: Timestamp,
    /// Exclusive.
    #[n(4)]
    pub expires_at: Timestamp,
    /// The most that extensions can reach.
    #[n(5)]
    pub latest: Timestamp,
    /// What it holds, in the order drawn.
    #[n(6)]
    pub held: Vec<Draw>,
    /// What it was charged so far.
    #[n(7)]
    pub spent: Vec<Draw>,
    /// What of the charge no block paid.
    #[n(8)]
    pub debt: Credits,
    #[n(9)]
    pub caps: Vec<CapHold>,
    /// The root of its family; itself where it has no parent.
    #[n(10)]
    pub root: ReservationId,
    #[n(11)]
    pub chain: Option<ChainLink>,
    #[n(12)]
    pub decision: Decision,
    #[n(13)]
    pub state: State,
    /// Totals that `progress` reported last.
    #[n(14)]
    pub reported: Option<Quantities>,
    /// What it held when it was authorised, where that has changed since: a repeated authorise answers with it.
    #[n(15)]
    pub first: Option<Vec<Draw>>,
    /// Degraded use free of charge: it holds and is charged nothing.
    #[n(16)]
    pub free: bool,
    /// The commit that reported success, where the outcome is awaited.
    #[n(17)]
    pub awaiting: Option<Box<Asked>>,
    /// Booked in observe mode: its debt is never repaid.
    #[n(18)]
    pub observed: bool,
    /// The run whose budget (`per: run` without a `run_id`) it counts in: the root, or the root of what it retries.
    #[n(19)]
    pub budget: ReservationId,
    /// It began at a sidecar because the ledger did not answer in time, which may have begun it all the same.
    #[cbor(n(20), default)]
    pub doubtful: bool,
}

/// A commit as it was asked, for idempotency.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Asked {
    #[n(0)]
    pub request_id: Option<RequestId>,
    #[n(1)]
    pub result: RunResult,
    #[n(2)]
    pub quantities: Option<Quantities>,
    #[n(3)]
    pub completion: Option<Quantity>,
    #[n(4)]
    pub verified: bool,
}

/// An ended run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Final {
    #[n(0)]
    pub run: Run,
    #[n(1)]
    pub version: u32,
    #[n(2)]
    pub state: State,
    #[n(3)]
    pub result: Option<RunResult>,
    #[n(4)]
    pub spent: Vec<Draw>,
    #[n(5)]
    pub debt: Credits,
    /// The commit that settled it.
    #[n(6)]
    pub asked: Option<Asked>,
    #[n(7)]
    pub ended_at: Timestamp,
    #[n(8)]
    pub chain: Option<ChainLink>,
    #[n(9)]
    pub authorized_at: Timestamp,
    /// What a repeated authorise of an `event` action answers.
    #[n(10)]
    pub decision: Decision,
    #[n(11)]
    pub expires_at: Timestamp,
    #[n(12)]
    pub completion: Option<Quantity>,
    #[n(13)]
    pub observed: bool,
    /// Totals that it was charged for.
    #[n(14)]
    pub used: Option<Quantities>,
    /// See `Reservation::budget`.
    #[n(15)]
    pub budget: ReservationId,
    /// Settled from its handle alone, while the sidecar that authorised it was silent: its word, if it comes, replaces
    /// this.
    #[n(16)]
    pub provisional: Option<SidecarId>,
    /// What of its charge was given back. A refund closes the run: a commit after it is recorded, not charged.
    #[n(17)]
    pub refunded: Option<Credits>,
}

impl Reservation {
    /// The place of what it holds of a counter. It is looked for from `likely` on: flows come mostly in the order of the holds.
    pub fn hold_of(&mut self, key: &CapKey, likely: usize) -> usize {
        let is_its = |hold: &CapHold| hold.key == *key;
        let from = self.caps.get(likely..).unwrap_or_default().iter().position(is_its);
        let found = from.map(|ahead| likely + ahead).or_else(|| self.caps.iter().position(is_its));
        found.unwrap_or_else(|| {
            let none = Credits::ZERO;
            self.caps.push(CapHold { key: key.clone(), held: none, spent: none, measure: Kind::Credits });
            self.caps.len() - 1
        })
    }

    pub fn held_total(&self) -> Credits {
        hold::total(&self.held)
    }

    /// What it holds, to be changed.
    pub fn held_mut(&mut self) -> &mut Vec<Draw> {
        self.first.get_or_insert_with(|| self.held.clone());
        &mut self.held
    }

    /// What it held when it was authorised.
    pub fn first_held(&self) -> &[Draw] {
        self.first.as_deref().unwrap_or(&self.held)
    }

    pub fn charged(&self) -> Credits {
        hold::total(&self.spent) + self.debt
    }
}

impl Final {
    /// Gives back `credits` of the charge: debt first, then what was drawn last.
    pub fn give_back(&mut self, credits: Credits) {
        let owed = credits.min(self.debt);
        self.debt -= owed;
        for part in hold::last(&self.spent, credits - owed).0 {
            hold::remove(&mut self.spent, &part);
        }
        self.refunded = Some(self.refunded.unwrap_or_default() + credits);
    }

    pub fn charged(&self) -> Credits {
        hold::total(&self.spent) + self.debt
    }
}

impl State {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::AwaitingOutcome => "AWAITING_OUTCOME",
            Self::Accepted => "ACCEPTED",
            Self::Settled => "SETTLED",
            Self::Released => "RELEASED",
            Self::Lapsed => "LAPSED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
