//! What sidecars and ledger say to each other, over a network that loses nothing but what a partition holds up.

use std::collections::BTreeMap;

use super::world::World;
use crate::engine::account::{Leasing, Report};
use crate::engine::wallet::Link;
use crate::lease::{Ask, WalletEvent};
use crate::types::{AccountId, SidecarId};

/// Rounds after which messages that still cause messages are a bug.
const ROUNDS_MAX: usize = 100;

impl World {
    /// Delivers messages until none is left; those of a partitioned sidecar wait.
    pub fn deliver(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut quiet = true;
            let names: Vec<String> = self.nodes.keys().cloned().collect();
            for name in &names {
                quiet &= !self.report(name);
            }
            for account in std::mem::take(&mut self.refresh) {
                quiet = false;
                self.tell_terms(&account);
            }
            if quiet {
                break;
            }
        }
        self.send_totals();
    }

    /// A sidecar reports what is on its disk; answers whether it had anything to say.
    pub fn report(&mut self, name: &str) -> bool {
        if self.reporting.iter().any(|other| other == name) {
            return false;
        }
        self.reporting.push(name.to_owned());
        let said = self.report_all(name);
        self.reporting.pop();
        said
    }

    fn report_all(&mut self, name: &str) -> bool {
        let Some(node) = self.nodes.get_mut(name).filter(|node| node.reachable()) else { return false };
        node.disk.durable = node.disk.records.len() as u64;
        let from = node.acknowledged;
        let (id, epoch) = (node.id, node.epoch);
        let last = node.disk.durable;
        if from == last {
            return false;
        }
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let records: Vec<_> = (from + 1..).zip(node.disk.records.iter().skip(skip).cloned()).collect();
        let mut by_account: BTreeMap<AccountId, Vec<Report>> = BTreeMap::new();
        for (number, record) in records {
            if record.event.is_reported() {
                self.promote_ahead_of(&record.event);
                let report = Report { epoch, number, event: record.event };
                by_account.entry(record.account).or_default().push(report);
            }
        }
        let said = !by_account.is_empty();
        for (account, reports) in by_account {
            let totals = self.nodes.get(name).and_then(|node| Some(node.wallets.get(&account)?.totals()));
            self.at_ledger(&account, |work| {
                work.hear_totals(id, totals.unwrap_or_default());
                for report in reports {
                    work.absorb(id, report);
                }
            });
        }
        if let Some((node, here)) = self.node(name) {
            node.acknowledged = last;
            for wallet in node.wallets.values_mut() {
                wallet.acknowledged(last, here, &mut node.disk);
            }
        }
        said
    }

    /// Asks the ledger for a lease on behalf of a wallet; answers what came of it.
    pub fn ask(&mut self, name: &str, account: &AccountId, ask: &Ask) -> Link {
        if !self.nodes.get(name).is_some_and(super::node::Node::reachable) {
            return Link::Unreachable;
        }
        self.report(name);
        let Some(node) = self.nodes.get_mut(name) else { return Link::Unreachable };
        node.asks += 1;
        let (id, epoch, asked_at) = (node.id, node.epoch, self.at);
        let ask = &Ask { number: node.asks, ..ask.clone() };
        if !self.accounts.contains_key(account) {
            self.with_wallet(name, account, |wallet, _, _| wallet.closed());
            return Link::Asked;
        }
        let mut leasing = self.at_ledger(account, |work| work.lease(id, epoch, ask, false));
        if let Leasing::Recall(holders) = leasing {
            self.recall(account, &holders);
            leasing = self.at_ledger(account, |work| work.lease(id, epoch, ask, true));
        }
        match leasing {
            Leasing::Granted(grant) => {
                self.with_wallet(name, account, |wallet, here, disk| {
                    wallet.leased(&grant, asked_at, here, disk);
                });
                if ask.is_introduction() { Link::Untried } else { Link::Asked }
            }
            Leasing::Unknown => {
                self.with_wallet(name, account, |wallet, _, _| wallet.closed());
                Link::Asked
            }
            Leasing::Recall(_) | Leasing::Fenced | Leasing::Overtaken => Link::Unreachable,
        }
    }

    /// Holders that can be reached give back what is idle.
    pub fn recall(&mut self, account: &AccountId, holders: &[SidecarId]) {
        let names: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.reachable() && holders.contains(&node.id))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.give_back(&name, account);
        }
    }

    /// A sidecar gives back what is idle of an account, and says so.
    pub fn give_back(&mut self, name: &str, account: &AccountId) {
        self.with_wallet(name, account, |wallet, here, disk| wallet.give_back(here, disk));
        self.report(name);
    }

    /// Everyone who can be reached gives back what is idle, before an administrator's move.
    pub fn recall_all(&mut self, account: &AccountId) {
        let holders: Vec<SidecarId> = self
            .accounts
            .get(account)
            .map(|account| account.leases.keys().copied().collect())
            .unwrap_or_default();
        self.recall(account, &holders);
    }

    /// New terms reach every sidecar that deals with the account.
    fn tell_terms(&mut self, account: &AccountId) {
        let Some(terms) = self.accounts.get(account).and_then(crate::engine::account::Account::terms) else {
            return;
        };
        let names: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.reachable() && node.wallets.contains_key(account))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.with_wallet(&name, account, |wallet, here, disk| wallet.changed(&terms, here, disk));
        }
    }

    /// A sidecar can be reached again: it hears of everything it missed.
    pub fn reconnect(&mut self, name: &str) {
        if let Some((node, here)) = self.node(name).filter(|(node, _)| node.reachable()) {
            for wallet in node.wallets.values_mut() {
                wallet.acknowledged(node.acknowledged, here, &mut node.disk);
            }
        }
        self.report(name);
        let accounts: Vec<AccountId> =
            self.nodes.get(name).map(|node| node.wallets.keys().cloned().collect()).unwrap_or_default();
        for account in accounts {
            if !self.refresh.contains(&account) {
                self.refresh.push(account);
            }
        }
        self.deliver();
    }

    /// A run that another live sidecar settles is promoted, so that the ledger can settle it.
    pub fn promote_elsewhere(&mut self, account: &AccountId, id: crate::types::ReservationId) {
        let names: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.reachable())
            .filter(|(_, node)| node.wallets.get(account).is_some_and(|w| w.book.runs.contains_key(&id)))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.with_wallet(&name, account, |wallet, here, disk| wallet.promote(id, here, disk));
            self.report(&name);
        }
    }

    /// A call that was passed on may concern a run that another sidecar settles.
    fn promote_ahead_of(&mut self, event: &WalletEvent) {
        if let WalletEvent::PassedOn(passed) = event
            && let Ok(handle) = crate::engine::handle::Handle::peek(&passed.handle)
        {
            self.promote_elsewhere(&handle.account, handle.id);
        }
    }

    pub fn tick_node(&mut self, name: &str) {
        let Some(node) = self.nodes.get(name).filter(|node| node.alive) else { return };
        let accounts: Vec<AccountId> = node.wallets.keys().cloned().collect();
        for account in accounts {
            let ask =
                self.with_wallet(name, &account, |wallet, here, disk| wallet.tick(here, disk)).flatten();
            if let Some(ask) = ask
                && self.ask(name, &account, &ask) == Link::Unreachable
            {
                self.with_wallet(name, &account, |wallet, here, disk| wallet.renewal_failed(here, disk));
            }
        }
    }

    /// Running totals reach the ledger: alerts are raised by them.
    fn send_totals(&mut self) {
        let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
        for account in accounts {
            let totals: Vec<_> = self
                .nodes
                .values()
                .filter(|node| node.reachable())
                .filter_map(|node| node.wallets.get(&account).map(|wallet| (node.id, wallet.totals())))
                .collect();
            self.at_ledger(&account, |work| {
                for (sidecar, totals) in totals {
                    work.hear_totals(sidecar, totals);
                }
            });
        }
    }

    pub fn with_wallet<T>(
        &mut self,
        name: &str,
        account: &AccountId,
        act: impl FnOnce(
            &mut crate::engine::wallet::Wallet,
            crate::engine::wallet::Here<'_>,
            &mut super::node::Disk,
        ) -> T,
    ) -> Option<T> {
        let (node, here) = self.node(name)?;
        let (wallet, disk) = node.wallet(account);
        Some(act(wallet, here, disk))
    }
}
