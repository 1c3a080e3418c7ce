//! What a lease and the promoted runs still hold while one record of a sidecar is read.

use std::collections::BTreeMap;

use super::absorb::take_along;
use super::entry::Booked;
use crate::credit::hold::{self, Draw};
use crate::credit::{Column, Flow};
use crate::types::{BlockId, Credits, ReservationId};

/// Who holds credits of a flow, seen from the account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The lease: idle there, or in a run that only the sidecar knows.
    Lease,
    /// A run that this sidecar promoted.
    Run(ReservationId),
    Spent,
    Lapsed,
    /// Nobody: the account ended a run that its sidecar was handing over, and freed what it held.
    Nobody,
}

/// What the lease and the promoted runs still hold while the flows of one record are read.
pub(super) struct Purse {
    pub lease: BTreeMap<BlockId, Credits>,
    pub runs: BTreeMap<ReservationId, Vec<Draw>>,
    /// What the run was charged so far, by the blocks that paid in fact.
    pub spent: Vec<Draw>,
    /// What its settler reported as charged, and a commit from the handle alone gave back since.
    pub lowered: Vec<Draw>,
}

impl Purse {
    /// Takes what there is of a flow's amount, from its own block first; answers the parts.
    pub fn take(&mut self, holder: Holder, flow: &Flow, line: &[BlockId]) -> Vec<Draw> {
        let whole = Draw { block: flow.block, species: flow.species, amount: flow.amount };
        match holder {
            Holder::Lapsed => vec![whole],
            Holder::Nobody => Vec::new(),
            Holder::Spent => from(&mut self.spent, whole),
            Holder::Lease => {
                let parts = take_along(&mut self.lease, line, flow.amount).into_iter();
                parts.map(|(block, amount)| Draw { block, amount, ..whole }).collect()
            }
            Holder::Run(id) => from(self.runs.entry(id).or_default(), whole),
        }
    }

    /// What is booked for a run that only its sidecar knows.
    pub fn booked(&self, debt: Credits) -> Booked {
        let mut spent = self.spent.clone();
        self.lowered.iter().for_each(|draw| hold::add(&mut spent, *draw));
        Booked { spent, debt }
    }

    pub fn give(&mut self, holder: Holder, draw: Draw) {
        match holder {
            Holder::Lease => *self.lease.entry(draw.block).or_default() += draw.amount,
            Holder::Run(id) => hold::add(self.runs.entry(id).or_default(), draw),
            Holder::Spent => hold::add(&mut self.spent, draw),
            Holder::Lapsed | Holder::Nobody => {}
        }
    }
}

/// Takes a draw out, from its own block first: held anew after a reclaim, a run may hold and have spent other blocks than
/// its sidecar knows.
fn from(draws: &mut Vec<Draw>, whole: Draw) -> Vec<Draw> {
    let missing = hold::remove(draws, &whole);
    let mut parts = Vec::new();
    if whole.amount > missing {
        parts.push(Draw { amount: whole.amount - missing, ..whole });
    }
    for other in hold::last(draws, missing).0 {
        hold::remove(draws, &other);
        parts.push(other);
    }
    parts
}

pub(super) fn column(holder: Holder) -> Column {
    match holder {
        Holder::Lease | Holder::Run(_) => Column::Held,
        Holder::Spent => Column::Spent,
        Holder::Lapsed => Column::Lapsed,
        Holder::Nobody => Column::Available,
    }
}
