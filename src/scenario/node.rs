//! One simulated sidecar: its memory dies in a crash, its disk survives.

use std::collections::BTreeMap;

use crate::engine::wallet::{Here, Log, Wallet};
use crate::lease::{SidecarRecord, WalletEvent};
use crate::types::{AccountId, Epoch, ReservationId, SidecarId};

#[derive(Clone, Debug)]
pub struct Node {
    pub id: SidecarId,
    pub epoch: Epoch,
    pub alive: bool,
    pub partitioned: bool,
    pub wallets: BTreeMap<AccountId, Wallet>,
    pub disk: Disk,
    /// Up to which record the ledger has acknowledged.
    pub acknowledged: u64,
    /// The number of its newest ask.
    pub asks: u64,
    /// Reservations in the order of their answers, and the record of each whose answer waited for nobody.
    pub answered: Vec<(ReservationId, Option<u64>)>,
}

/// The journal, with what of it is certainly on disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub records: Vec<SidecarRecord>,
    pub durable: u64,
    /// Made, and not yet appended.
    prepared: Option<SidecarRecord>,
}

impl Log for Disk {
    fn prepare(&mut self, account: &AccountId, event: &WalletEvent) {
        self.prepared = Some(SidecarRecord { account: account.clone(), event: event.clone() });
    }

    fn append(&mut self, _: &AccountId, _: bool) -> u64 {
        self.records.extend(self.prepared.take());
        self.last()
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    fn last(&self) -> u64 {
        self.records.len() as u64
    }
}

impl Node {
    pub fn new(id: SidecarId) -> Self {
        Self {
            id,
            epoch: Epoch { generation: 1, start: 1 },
            alive: true,
            partitioned: false,
            wallets: BTreeMap::new(),
            disk: Disk::default(),
            acknowledged: 0,
            asks: 0,
            answered: Vec::new(),
        }
    }

    pub fn reachable(&self) -> bool {
        self.alive && !self.partitioned
    }

    pub fn wallet(&mut self, account: &AccountId) -> (&mut Wallet, &mut Disk) {
        let wallet = self.wallets.entry(account.clone()).or_insert_with(|| Wallet::new(account.clone()));
        (wallet, &mut self.disk)
    }

    /// An answer waited for this record: it and all before it are on disk.
    pub fn flush(&mut self, wait: Option<u64>) {
        if let Some(number) = wait {
            self.disk.durable = self.disk.durable.max(number);
        }
    }

    /// The process dies. Of the last `unflushed` reservations, those whose answer waited for nobody were not on disk.
    pub fn crash(&mut self, unflushed: usize) {
        let cut = self
            .answered
            .iter()
            .rev()
            .take(unflushed)
            .filter_map(|(_, record)| *record)
            .filter(|record| *record > self.disk.durable)
            .min();
        if let Some(record) = cut {
            self.disk.records.truncate(usize::try_from(record).unwrap_or(usize::MAX).saturating_sub(1));
        }
        self.disk.durable = self.disk.last();
        self.alive = false;
        self.wallets.clear();
        self.answered.clear();
    }

    /// A new process reads the journal.
    pub fn restart(&mut self, here: Here<'_>) {
        self.alive = true;
        self.epoch.start += 1;
        self.asks = 0;
        let records = std::mem::take(&mut self.disk.records);
        for (number, record) in (1..).zip(&records) {
            let wallet = self
                .wallets
                .entry(record.account.clone())
                .or_insert_with(|| Wallet::new(record.account.clone()));
            wallet.resume_handing(number, &record.event);
            wallet.apply(record.event.clone(), here.playbooks);
        }
        self.disk.records = records;
        for wallet in self.wallets.values_mut() {
            // What a start journals is on disk before anything is asked, below.
            let _sealed = wallet.restarted(false, true, here, &mut self.disk);
        }
        self.disk.durable = self.disk.last();
    }
}
