//! What the ledger is told, as `sidecar/reports.rs` has it: records in order, each until it is acknowledged, and totals.

use super::agenda::Event;
use super::disk::Stored;
use super::message::{Address, Asks, Batch, Question};
use super::world::{Rpc, World};
use crate::lease::{LeaseTotals, WalletEvent};
use crate::types::AccountId;

/// Records of one report: few, so that a journal takes several.
const RECORDS_MAX: usize = 8;

/// How often totals are told that changed without a record.
const TOTALS_EVERY: i64 = 1_000_000;

const REPORT_WITHIN: i64 = 5_000_000;

/// After a report that the ledger did not take.
const AGAIN: (i64, i64) = (50_000, 2_000_000);

impl World {
    /// Plans a report, so many microseconds from now at the latest.
    pub fn plan_report(&mut self, place: usize, within: i64) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        let address = node.address();
        let Some(process) = node.process.as_mut() else { return };
        let at = self.now + within;
        if process.report_at.is_none_or(|planned| at < planned || planned < self.now) {
            process.report_at = Some(at);
            self.agenda.plan(at, Event::Report(address));
        }
    }

    pub fn report(&mut self, to: Address) {
        let rpc = self.numbers.next();
        let Some(node) = self.nodes.get_mut(to.node).filter(|node| node.is_at(to)) else { return };
        let durable = node.disk.durable;
        let Some(process) = node.process.as_mut() else { return };
        process.report_at = None;
        let Some(who) = process.sender() else { return };
        // What a recall gave back is in the very next report, or the ledger believes that nothing was idle.
        let needed = node.disk.pending.front().map_or(0, |first| process.report_from.max(*first));
        if process.reporting.is_some() || needed > durable {
            return;
        }
        process.report_from = 0;
        let mut accounts = std::mem::take(&mut process.recalled);
        let mut batch = Batch { recalls_seen: process.recalls_seen, ..Batch::default() };
        for number in node.disk.pending.iter().take_while(|number| **number <= durable).take(RECORDS_MAX) {
            if let Some((start, Stored::Record(record))) = node.disk.record(*number) {
                accounts.insert(record.account.clone());
                batch.records.push((*number, *start, record.clone()));
            }
        }
        accounts.extend(std::mem::take(&mut process.dirty));
        if accounts.is_empty() {
            return;
        }
        process.reporting = Some(rpc);
        batch.totals = accounts
            .into_iter()
            .filter_map(|account| {
                let totals = self.visit(to.node, &account, |slot, _, _| slot.wallet.totals())?;
                Some((account, totals))
            })
            .collect::<Vec<(AccountId, LeaseTotals)>>();
        self.rpcs.insert(rpc, Rpc::Report { to });
        self.agenda.plan(self.now + REPORT_WITHIN, Event::Expired(rpc));
        self.ask_ledger(Question { from: to, rpc, who, what: Asks::Report(Box::new(batch)) });
    }

    pub fn reported(&mut self, to: Address, through: u64) {
        let Some(process) = self.nodes.get_mut(to.node).and_then(|node| node.process.as_mut()) else {
            return;
        };
        process.reporting = None;
        // A recall that came meanwhile is answered at once.
        let recalled = !process.recalled.is_empty();
        self.acknowledge(to.node, through);
        let node = self.nodes.get(to.node);
        let more = node
            .is_some_and(|node| node.disk.pending.front().is_some_and(|first| *first <= node.disk.durable));
        self.plan_report(to.node, if more || recalled { 0 } else { TOTALS_EVERY });
    }

    pub fn report_failed(&mut self, to: Address) {
        let Some(node) = self.nodes.get_mut(to.node).filter(|node| node.is_at(to)) else { return };
        if let Some(process) = node.process.as_mut() {
            process.reporting = None;
        }
        self.suspect(to.node);
        let within = self.dice.between(AGAIN.0, AGAIN.1);
        self.plan_report(to.node, within);
    }

    /// The ledger has everything through this record.
    pub fn acknowledge(&mut self, place: usize, through: u64) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        let mut told: Vec<AccountId> = Vec::new();
        while let Some(number) = node.disk.pending.front().copied().filter(|number| *number <= through) {
            node.disk.pending.pop_front();
            if let Some((_, Stored::Record(record))) = node.disk.record(number)
                && matches!(record.event, WalletEvent::Promoted(_))
            {
                told.push(record.account.clone());
            }
        }
        if let Some(process) = node.process.as_mut() {
            process.acknowledged = process.acknowledged.max(through);
        }
        for account in told {
            self.visit(place, &account, |slot, here, disk| slot.wallet.acknowledged(through, here, disk));
        }
        self.outbox_flushed(place);
    }
}
