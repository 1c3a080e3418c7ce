//! Room of caps in a sidecar's record of a run.

use super::absorb::take;
use super::absorb_purse::Holder;
use super::entry::Effects;
use super::work::Work;
use crate::credit::{Place, RunEvent, ScopeKey};
use crate::types::{Credits, SidecarId};

impl Work<'_> {
    /// Room that the account holds for a run that ends here, beyond what its sidecar knew.
    pub(super) fn give_back_room(&self, run: &RunEvent, effects: &mut Effects) {
        let Some(open) = self.account.book.runs.get(&run.id) else { return };
        for hold in &open.caps {
            let flows = || run.caps.iter().filter(|flow| flow.key == hold.key);
            let given: Credits =
                flows().filter(|flow| flow.from == Place::Held).map(|flow| flow.amount).sum();
            let taken: Credits = flows().filter(|flow| flow.to == Place::Held).map(|flow| flow.amount).sum();
            let left = (hold.held + taken).saturating_sub(given);
            if left.is_positive() {
                effects.counters.push((hold.key.clone(), -left, Credits::ZERO));
            }
        }
    }

    /// Room: what a run used of leased room is used at the account; what was used past it counts there too.
    pub(super) fn absorb_caps(&self, sidecar: SidecarId, run: &mut RunEvent, effects: &mut Effects) {
        // What nobody holds here (its hold was superseded) can't come back to a run.
        let mut flows = std::mem::take(&mut run.caps);
        flows.retain(|flow| {
            let (from, to) = (self.holder(sidecar, run, flow.from), self.holder(sidecar, run, flow.to));
            from != Holder::Nobody || !matches!(to, Holder::Run(_))
        });
        run.caps = flows;
        let mut left = self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        for flow in &run.caps {
            let (from, to) = (self.holder(sidecar, run, flow.from), self.holder(sidecar, run, flow.to));
            let leased = !matches!(flow.key.scope, ScopeKey::Root(_));
            if from == Holder::Nobody && to != Holder::Spent {
                continue;
            }
            let mut held = Credits::ZERO;
            let mut spent = Credits::ZERO;
            match from {
                Holder::Lease if leased && to != Holder::Lease => {
                    let part = take(&mut left, &flow.key, flow.amount);
                    effects.room.push((flow.key.clone(), -part));
                    held -= part;
                }
                Holder::Run(_) => held -= flow.amount,
                Holder::Spent => spent -= flow.amount,
                _ => {}
            }
            match to {
                Holder::Lease
                    if leased
                        && from != Holder::Lease
                        && !run.handing
                        && self.account.leases.contains_key(&sidecar) =>
                {
                    effects.room.push((flow.key.clone(), flow.amount));
                    *left.entry(flow.key.clone()).or_default() += flow.amount;
                    held += flow.amount;
                }
                Holder::Run(_) => held += flow.amount,
                Holder::Spent => spent += flow.amount,
                _ => {}
            }
            if !held.is_zero() || !spent.is_zero() {
                effects.counters.push((flow.key.clone(), held, spent));
            }
        }
    }
}
