//! What happens in a fleet's world, counted as it happens.

use super::disk::{Disk, Stored};
use super::fleet::Fleet;
use crate::credit::{Place, RunEvent};
use crate::engine::account::Entry;
use crate::engine::account::entry::What;
use crate::engine::wallet::Log;
use crate::lease::{SidecarRecord, WalletEvent};
use crate::types::Credits;

impl Fleet {
    /// A run was decided, or ended: which credits nobody holds any more, or somebody does now.
    pub fn flowed(&mut self, now: i64, event: &RunEvent) {
        let sum = |free: &dyn Fn(&crate::credit::Flow) -> bool| -> Credits {
            event.flows.iter().filter(|flow| free(flow)).map(|flow| flow.amount).sum()
        };
        let (taken, back) = (sum(&|flow| flow.from == Place::Free), sum(&|flow| flow.to == Place::Free));
        self.latest.changed(now, back - taken);
    }

    /// The same, of what a sidecar journaled after record `before`.
    pub fn wrote(&mut self, now: i64, disk: &Disk, before: u64) {
        for number in before + 1..=disk.last() {
            if let Some((_, Stored::Record(SidecarRecord { event: WalletEvent::Run(event), .. }))) =
                disk.record(number)
            {
                self.flowed(now, event);
            }
        }
    }

    /// The same, of what the ledger decided itself.
    pub fn booked(&mut self, now: i64, entries: &[Entry]) {
        for entry in entries {
            if let What::Run(event) = &entry.what {
                self.flowed(now, event);
            }
        }
    }

    /// So many sidecars were asked for what they hold idle.
    pub fn recalls(&mut self, rpc: u64, now: i64, sidecars: usize) {
        self.recalling.insert(rpc, now);
        let tally = self.tally();
        tally.recalls += 1;
        tally.recalled += sidecars as u64;
    }

    /// A question was answered: what a recall brought is where it is needed.
    pub fn hears(&mut self, rpc: u64, now: i64) {
        if let Some(since) = self.recalling.remove(&rpc) {
            self.figures.brought(now - since);
        }
    }

    /// A call of the ledger goes out: a lease, which may be a mere renewal, or a decision.
    pub fn asks(&mut self, call: u64, asks: &super::message::Asks) {
        use super::message::Asks;
        let authorizes = self.asked.get_mut(&call).map(|waiting| waiting.waited = true).is_some();
        let tally = self.tally();
        match asks {
            Asks::Lease(..) => {
                tally.leases += 1;
                tally.renewals += u64::from(!authorizes);
            }
            Asks::Decide(..) => tally.decided += u64::from(authorizes),
            Asks::Attach | Asks::Watch | Asks::Report(_) => {}
        }
    }
}
