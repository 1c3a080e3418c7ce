//! The wallet as a value, so that older records need not be read again.

use super::state::Wallet;
use crate::engine::contract::Playbooks;
use crate::lease::event::Snapshot;

impl Wallet {
    /// The wallet as a value, so that older records need not be read again.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            terms: self.terms.clone(),
            lease: self.lease.clone(),
            seen: self.seen,
            blocks: self.book.pools.iter().flat_map(|pool| pool.blocks.iter().cloned()).collect(),
            counters: self.book.counters.iter().map(|(key, c)| (key.clone(), c.clone())).collect(),
            runs: self.book.runs.values().map(|run| (**run).clone()).collect(),
            finals: self.book.finals.iter().map(|(id, ended)| (*id, (**ended).clone())).collect(),
            largest: self.largest,
            handed: self.handed.iter().map(|(id, until)| (*id, *until)).collect(),
            charged: self.charged.clone(),
            cut_off: self.cut_off,
        }
    }

    pub(super) fn restore(&mut self, snapshot: Snapshot, playbooks: &Playbooks) {
        *self = Self::new(self.account.clone());
        if let Some(terms) = &snapshot.terms {
            self.set_terms(terms, playbooks);
        }
        self.seen = snapshot.seen.or(snapshot.lease.as_ref().map(|lease| (lease.lease, lease.number)));
        self.lease = snapshot.lease;
        for block in snapshot.blocks {
            self.book.insert(block);
        }
        self.book.counters = snapshot.counters.into_iter().collect();
        let mut runs = snapshot.runs;
        runs.sort_by_key(|run| run.authorized_at);
        for run in runs {
            self.young.push_back((crate::lease::promotion::due(run.authorized_at), run.id));
            self.book.open(run);
        }
        for (id, ended) in snapshot.finals {
            let keep = ended.expires_at;
            self.book.remember(id, ended, keep);
        }
        self.note_all_near();
        self.largest = snapshot.largest;
        self.handed = snapshot.handed.into_iter().collect();
        self.charged = snapshot.charged;
        self.cut_off = snapshot.cut_off;
    }
}
