//! An account's journal, read for auditors: each entry with the rule and the version that moved which block.
//!
//! The journal is applied once more, and what each entry changed is seen in the blocks themselves.

use std::collections::BTreeMap;

use super::service::Ledger;
use super::store::LedgerStore;
use super::writes::store_error;
use crate::credit::reservation::State;
use crate::credit::{Block, Change, RunEvent};
use crate::engine::account::entry::{Buyer, Source, What};
use crate::engine::account::{Account, AdminRefusal, Entry};
use crate::engine::{Fault, Playbooks};
use crate::grpc::ledger_api::{AuditEntry, Auditing, BlockChange, LedgerError};
use crate::lease::WalletEvent;
use crate::playbook::finding::Choice;
use crate::types::{AccountId, BlockId, Credits, ReservationId, SidecarId};

/// Entries read from the store at once.
const ENTRIES_AT_ONCE: usize = 1000;

/// An audit under way.
pub struct Audit<S> {
    ledger: Ledger<S>,
    auditor: Auditor,
}

impl<S: LedgerStore> Ledger<S> {
    pub(super) async fn audited(&self, account: &AccountId) -> Result<Audit<S>, LedgerError> {
        self.renew_shelf().await.map_err(store_error)?;
        if self.slot(account).await?.is_none() {
            return Err(AdminRefusal::AccountUnknown.into());
        }
        let auditor = Auditor::new(account.clone(), self.shelf().playbooks.clone());
        Ok(Audit { ledger: self.clone(), auditor })
    }
}

impl<S: LedgerStore> Auditing for Audit<S> {
    async fn next(&mut self) -> Result<Vec<AuditEntry>, LedgerError> {
        let (id, after) = (self.auditor.account.id.clone(), self.auditor.account.number);
        let entries = self.ledger.store.history(&id, after, ENTRIES_AT_ONCE).await.map_err(store_error)?;
        let playbooks = Playbooks::default();
        let mut auditor = std::mem::replace(&mut self.auditor, Auditor::new(id.clone(), playbooks));
        let read = tokio::task::spawn_blocking(move || {
            let read: Vec<AuditEntry> = entries.iter().map(|entry| auditor.read(entry)).collect();
            (auditor, read)
        });
        // A bug in a rule is contained to the account.
        let (auditor, read) = read.await.map_err(|error| Fault::Broken(error.to_string()))?;
        self.auditor = auditor;
        Ok(read)
    }
}

/// Reads entries one after the other.
struct Auditor {
    account: Account,
    playbooks: Playbooks,
    blocks: BTreeMap<BlockId, Block>,
    debt: Credits,
}

/// What an entry is, and by which rule it came about.
struct Told {
    kind: &'static str,
    choice: Option<u8>,
    rule: &'static str,
}

const fn told(kind: &'static str, choice: u8, rule: &'static str) -> Told {
    Told { kind, choice: Some(choice), rule }
}

/// Of the ledger's own book-keeping, which no design choice shapes.
const fn kept(kind: &'static str, rule: &'static str) -> Told {
    Told { kind, choice: None, rule }
}

impl Auditor {
    fn new(id: AccountId, playbooks: Playbooks) -> Self {
        Self { account: Account::new(id), playbooks, blocks: BTreeMap::new(), debt: Credits::ZERO }
    }

    fn read(&mut self, entry: &Entry) -> AuditEntry {
        let linked = entry.number == self.account.number + 1 && entry.follows(&self.account.link);
        let (run, sidecar) = named(&entry.what);
        let pinned = self.pinned(&entry.what);
        self.account.apply(entry, &self.playbooks);
        let in_force = self.account.contract.as_ref().map_or(0, |contract| contract.playbook.version);
        let debt: Credits = self.account.book.pools.iter().map(|pool| pool.debt).sum();
        let owed = debt - std::mem::replace(&mut self.debt, debt);
        let Told { kind, choice, rule } = what(&entry.what);
        AuditEntry {
            number: entry.number,
            at: entry.at,
            kind,
            choice: choice.map(Choice),
            rule,
            version: pinned.unwrap_or(in_force),
            changes: self.changes(),
            debt: owed,
            run,
            sidecar,
            request: entry.request.as_ref().map(|answered| answered.id.clone()),
            link: entry.link,
            linked,
        }
    }

    /// A run's version is the one that it was authorised under.
    fn pinned(&self, what: &What) -> Option<u32> {
        let event = run_of(what)?;
        match &event.change {
            Change::Reserved(reservation) => Some(reservation.version),
            Change::Ended(ended) => Some(ended.version),
            Change::Progressed { .. } | Change::Awaiting { .. } => {
                Some(self.account.book.runs.get(&event.id)?.version)
            }
        }
    }

    /// What moved since the entry before.
    fn changes(&mut self) -> Vec<BlockChange> {
        let mut changes = Vec::new();
        for block in self.account.book.blocks() {
            let before = self.blocks.get(&block.id);
            if before == Some(block) {
                continue;
            }
            changes.extend(change(before, block));
            self.blocks.insert(block.id, block.clone());
        }
        changes
    }
}

fn change(before: Option<&Block>, after: &Block) -> Option<BlockChange> {
    let by = |column: fn(&Block) -> Credits| column(after) - before.map_or(Credits::ZERO, column);
    let change = BlockChange {
        block: after.id,
        species: after.species,
        pool: after.pool.clone(),
        granted: by(|block| block.granted),
        available: by(|block| block.available),
        held: by(|block| block.held),
        spent: by(|block| block.spent),
        lapsed: by(|block| block.lapsed),
        withdrawn: by(|block| block.withdrawn),
    };
    let columns =
        [change.granted, change.available, change.held, change.spent, change.lapsed, change.withdrawn];
    columns.iter().any(|moved| !moved.is_zero()).then_some(change)
}

fn run_of(what: &What) -> Option<&RunEvent> {
    match what {
        What::Run(event) => Some(event),
        What::Absorbed(absorbed) => match &absorbed.event {
            WalletEvent::Run(event) => Some(event),
            _ => None,
        },
        _ => None,
    }
}

/// The run and the sidecar that an entry is about.
fn named(what: &What) -> (Option<ReservationId>, Option<SidecarId>) {
    let sidecar = match what {
        What::Absorbed(absorbed) => Some(absorbed.sidecar),
        What::Leased(leased) => Some(leased.sidecar),
        What::GrantLost { sidecar }
        | What::Reclaimed { sidecar, .. }
        | What::Started { sidecar, .. }
        | What::Unsealed { sidecar, .. } => Some(*sidecar),
        What::Unexplained(unexplained) => Some(unexplained.sidecar),
        What::Recounted(recounted) => Some(recounted.sidecar),
        _ => None,
    };
    let run = match what {
        What::Refunded(refunded) => Some(refunded.run),
        other => run_of(other).map(|event| event.id),
    };
    (run, sidecar)
}

fn what(what: &What) -> Told {
    match what {
        What::Subscribed { .. } => told("subscribed", 15, "the plan that was subscribed to"),
        What::Suspended => told("suspended", 14, "an administrator's suspension"),
        What::Resumed => told("resumed", 14, "an administrator's resumption"),
        What::OverageLimited(_) => told("overage_limited", 5, "an administrator's limit of soft overage"),
        What::PeriodStarted { .. } => told("period_started", 3, "the allowance's period"),
        What::Granted { source, .. } => granted(*source),
        What::Lapsed(_) => told("lapsed", 6, "credits end with their block"),
        What::Voided(_) => told("voided", 8, "an administrator's void of a grant"),
        What::Repaid { .. } => kept("repaid", "new credits pay debt first"),
        What::Unpaid(_) => kept("unpaid", "debt that was cancelled gives back what repaid it"),
        What::Leased(_) => kept("leased", "a sidecar's lease"),
        What::GrantLost { .. } => kept("grant_lost", "a lease that its sidecar never saw"),
        What::Reclaimed { .. } => kept("reclaimed", "a silent lease, after `reclaim_after`"),
        What::Absorbed(absorbed) => absorbed_event(&absorbed.event),
        What::Run(event) => run(event),
        What::Started { .. } => kept("started", "a sidecar's start"),
        What::Unsealed { .. } => kept("unsealed", "the end of an unclean stop's seal"),
        What::Raised(_) => told("raised", 14, "an alert's condition became true"),
        What::Cleared(_) => told("cleared", 14, "an alert's condition became false"),
        What::Reconciled { .. } => kept("reconciled", "emergency credits are a debt to reconcile"),
        What::Unexplained(_) => kept("unexplained", "use that no record explains, after a restore"),
        What::Recounted(_) => kept("recounted", "a slice counted anew, after a restore"),
        What::Overlaid(_) => told("overlaid", 15, "add-ons, overrides, caps or seats of this account"),
        What::PlanMoved(_) => told("plan_moved", 16, "another plan, or another version of it"),
        What::Billed(_) => told("billed", 4, "a billing line"),
        What::Pended(_) => told("pended", 15, "a change that waits for the period's or the term's end"),
        What::Ended => told("ended", 15, "the subscription is over"),
        What::TermStarted { .. } => told("term_started", 3, "the term"),
        What::CommitmentStarted { .. } => told("commitment_started", 4, "the commitment"),
        What::Refunded(_) => told("refunded", 9, "a refund of a charge, in reverse of its draws"),
        What::PurchaseRefunded(_) => told("purchase_refunded", 9, "a refund of a purchase's unused credits"),
        What::TransferSent(_) => told("transfer_sent", 11, "a transfer"),
        What::TransferReceived(_) => told("transfer_received", 11, "a transfer from another account"),
        What::TransferAnswered { .. } => {
            told("transfer_answered", 11, "the other account's answer to a transfer")
        }
        What::DebtBilled { .. } => {
            told("debt_billed", 15, "debt of a cancelled account, at the plan's price")
        }
        What::SeatsAdded { .. } => told("seats_added", 7, "shares of seats that were added"),
        What::Reduced(_) => told("reduced", 15, "a smaller allowance after a change of plan"),
        What::Allocated { .. } => told("allocated", 7, "an administrator's allocation between pools"),
        What::SeatTaken { .. } => told("seat_taken", 7, "a user takes a seat's share"),
        What::PoolsMerged(_) => told("pools_merged", 15, "pools that the new plan does not have"),
        What::Purchased { purchase, .. } => match purchase.by {
            Buyer::TopUp => told("purchased", 5, "the chain's top-up"),
            Buyer::Admin | Buyer::Member => told("purchased", 8, "a pack that was bought"),
        },
        What::Awarded { .. } => told("awarded", 13, "an incentive"),
        What::Rolled(_) => told("rolled", 6, "the rollover of its species"),
        What::Covered { .. } => told("covered", 5, "what was borrowed is paid back by the allowance"),
    }
}

fn granted(source: Source) -> Told {
    match source {
        Source::Allowance(_) => told("granted", 3, "the plan's allowance"),
        Source::Chain(_) => told("granted", 5, "a link of the plan's overage chain"),
        Source::Administrator => told("granted", 8, "an administrator's grant"),
        Source::Seats(_) => told("granted", 7, "shares set aside for seats"),
        Source::Emergency => kept("granted", "the plan's emergency allowance"),
        Source::Changed => told("granted", 15, "a larger allowance after a change of plan"),
        Source::Refund => told("granted", 9, "a refund whose block had ended"),
    }
}

fn absorbed_event(event: &WalletEvent) -> Told {
    match event {
        WalletEvent::Run(event) => run(event),
        WalletEvent::Returned(_) => kept("returned", "idle credits go back to the account"),
        WalletEvent::Promoted(_) => kept("promoted", "the account itself holds the run from here on"),
        WalletEvent::HandedOver(_) => kept("handed_over", "the account itself holds the run from here on"),
        WalletEvent::PassedOn(_) => kept("passed_on", "a call for another settler"),
        WalletEvent::Sealed(_) => kept("sealed", "what an unclean stop may have lost sight of"),
        WalletEvent::LeaseOver(_) => kept("lease_over", "the end of a lease"),
        WalletEvent::Left(_) => kept("left", "a sidecar's clean stop: nothing stays there but what it names"),
        WalletEvent::Resumed(..) => kept("resumed", "a sidecar's start after an unclean stop"),
        WalletEvent::CutOff(_) => kept("cut_off", "since when a sidecar has not reached the ledger"),
        WalletEvent::Terms(_) | WalletEvent::Leased(_) | WalletEvent::Snapshot(_) => {
            kept("told", "what the sidecar knows of the account")
        }
    }
}

fn run(event: &RunEvent) -> Told {
    match &event.change {
        Change::Reserved(_) => told("reserved", 10, "the draw order"),
        Change::Progressed { .. } => {
            told("progressed", 2, "the charge of the total so far, and what is held ahead")
        }
        Change::Awaiting { .. } => told("awaiting_outcome", 2, "the trigger `outcome`"),
        Change::Ended(ended) => match ended.state {
            State::Released => told("released", 2, "a release"),
            State::Lapsed => told("run_lapsed", 2, "the action's `lapse`"),
            _ => told("settled", 2, "the run's charge, drawn in the draw order"),
        },
    }
}
