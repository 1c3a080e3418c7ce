//! One command at work: entries are emitted and applied one by one, and handed out for the store.

use super::entry::{Answered, Entry, What};
use super::state::Account;
use crate::credit::{Column, Move, PoolId, RunEvent, debt};
use crate::engine::contract::Playbooks;
use crate::engine::frame::{Beyond, Frame};
use crate::types::{Credits, Timestamp};

pub struct Work<'a> {
    pub account: &'a mut Account,
    pub playbooks: &'a Playbooks,
    pub at: Timestamp,
    /// What happened: to be stored before anything is answered.
    pub entries: Vec<Entry>,
    /// Sidecars must hear of new terms, and give back what is idle.
    pub refresh: bool,
    /// Whether the account had debt when the command began.
    pub owed: bool,
    /// What pools had unreserved before runs drew on them, where that matters.
    pub unreserved: Vec<(PoolId, Credits)>,
}

impl<'a> Work<'a> {
    /// To look at an account, before anything happens to it.
    pub fn at(account: &'a mut Account, playbooks: &'a Playbooks, at: Timestamp) -> Self {
        let (entries, unreserved) = (Vec::new(), Vec::new());
        Self { account, playbooks, at, entries, refresh: false, owed: false, unreserved }
    }

    /// Sidecars hear of a pool that has something again.
    fn moisten(&mut self) {
        let has = |pool: &PoolId| {
            let blocks = self.account.book.pool(pool).into_iter().flat_map(|pool| &pool.blocks);
            blocks.filter(|block| block.pays(self.at)).any(|block| block.available.is_positive())
        };
        let wet: Vec<PoolId> = self.account.told_dry.iter().filter(|pool| has(pool)).cloned().collect();
        for pool in wet {
            self.account.told_dry.remove(&pool);
            self.refresh = true;
        }
    }

    /// Starts a command: what time has done until `at` comes first.
    pub fn begin(account: &'a mut Account, playbooks: &'a Playbooks, at: Timestamp) -> Self {
        // What time has done since the account was last looked at is done first.
        let (clock, owed) = (account.clock.min(at), account.owes());
        let mut work = Self { owed, ..Self::at(account, playbooks, clock) };
        work.pass_time(at);
        work
    }

    pub(super) fn emit(&mut self, what: What) {
        self.emit_answered(what, None);
    }

    pub(super) fn emit_answered(&mut self, what: What, request: Option<Answered>) {
        let number = self.account.number + 1;
        let link = Entry::linked(&self.account.link, number, self.at, &what, request.as_ref());
        let entry = Entry { number, at: self.at, what, request, link };
        self.account.apply(&entry, self.playbooks);
        self.entries.push(entry);
    }

    /// Emits what changes the account's debt by `debt`. Where that cancels debt that was repaid already, the credits go
    /// back to the blocks that paid last.
    pub(super) fn emit_owing(&mut self, what: What, pool: &PoolId, debt: Credits) {
        let open = self.account.book.pool(pool).map(|pool| pool.debt).unwrap_or_default();
        self.emit(what);
        let mut repaid = (-debt).saturating_sub(open);
        if !repaid.is_positive() {
            return;
        }
        if let Some((what, part)) = self.debt_unbilled(pool, repaid) {
            self.emit(what);
            repaid -= part;
        }
        let mut moves = Vec::new();
        for (block, paid) in self.account.repaid.iter().rev() {
            let Some(payer) = self.account.book.block(*block).filter(|block| block.pool == *pool) else {
                continue;
            };
            let amount = (*paid).min(repaid);
            if amount.is_positive() {
                let to = if payer.has_ended(self.at) { Column::Lapsed } else { Column::Available };
                moves.push(Move { block: *block, from: Column::Spent, to, amount });
                repaid -= amount;
            }
        }
        if !moves.is_empty() {
            self.emit(What::Unpaid(moves));
        }
    }

    /// A run that the account itself settles.
    pub(super) fn emit_run(&mut self, event: Box<RunEvent>) {
        let (debt, pool) = (event.debt, event.debt_pool.clone());
        self.emit_owing(What::Run(event), &pool, debt);
    }

    pub(super) fn frame(&self) -> Option<Frame<'_>> {
        let contract = self.account.contract.as_ref()?;
        Some(Frame {
            book: &self.account.book,
            contract,
            playbooks: self.playbooks,
            at: self.at,
            beyond: Beyond::Nothing,
            packs: self.packs_left(),
        })
    }

    /// The next credits granted to a pool, or coming back to it, pay its debt first.
    pub(super) fn repay(&mut self) {
        self.reconcile();
        self.reconcile_borrowed();
        let owing = self.account.book.pools.iter().filter(|pool| pool.debt > pool.observed_debt);
        let owing: Vec<PoolId> = owing.map(|pool| pool.id.clone()).collect();
        for pool in owing {
            let repayment = debt::repay(&self.account.book, &pool, self.at);
            if repayment.paid.is_positive() {
                self.emit(What::Repaid { pool, paid: repayment.paid, moves: repayment.moves });
            }
        }
    }

    /// Ends a command: debt is repaid, packs are bought, alerts are raised, what happened is handed out.
    pub fn finish(mut self) -> (Vec<Entry>, bool) {
        self.repay();
        self.top_up_below();
        self.repay();
        self.moisten();
        self.merge_pools();
        self.bill_debt();
        // Sidecars hear of a debt that arose or was paid: what they hold idle depends on it.
        self.refresh |= self.owed != self.account.owes();
        self.raise_alerts();
        (self.entries, self.refresh)
    }
}
