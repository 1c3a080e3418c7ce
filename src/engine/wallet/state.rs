//! The wallet as a value. Events go to the journal, then the state evolves by them; replaying the journal does the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::tz::TimeZone;

use crate::credit::counters::Counting;
use crate::credit::{
    Book, CapFlow, CapKey, Change, Column, Counter, Move, Place, RunEvent, ScopeKey, Subject, pool::Sorting,
};
use crate::engine::contract::{Contract, Playbooks, Since};
use crate::engine::frame::{Beyond, Frame, Rest};
use crate::lease::event::Leased;
use crate::lease::recount::Charged;
use crate::lease::{AccountTerms, Mark, Returned, WalletEvent, promotion};
use crate::playbook::draw_order::Species;
use crate::types::{AccountId, Credits, LeaseId, Name, ReservationId, Timestamp};

/// Ended runs that a wallet remembers at most: what answers repeated calls without the ledger.
pub(super) const FINALS_MAX: usize = 10_000;

/// Where a wallet's events go, in order.
pub trait Log {
    /// Makes the record of an event; nothing is kept of it before `append`.
    fn prepare(&mut self, account: &AccountId, event: &WalletEvent);
    /// Appends the record just made, without waiting, and answers its number. `urgent`: somebody will wait for it.
    fn append(&mut self, account: &AccountId, urgent: bool) -> u64;
    /// The highest number that is safe on disk.
    fn durable(&self) -> u64;
    /// The highest number given out.
    fn last(&self) -> u64;
}

/// What a wallet needs from where it runs.
#[derive(Clone, Copy)]
pub struct Here<'a> {
    pub playbooks: &'a Playbooks,
    pub at: Timestamp,
}

/// A leased slice of one account.
#[derive(Clone, Debug)]
pub struct Wallet {
    pub account: AccountId,
    pub terms: Option<AccountTerms>,
    pub contract: Option<Contract>,
    pub book: Book,
    pub lease: Option<Leased>,
    /// The last grant that arrived, be its lease over or not: what came after it was lost on its way.
    pub(super) seen: Option<(LeaseId, u32)>,
    pub rest: Rest,
    /// Whose run was asked for last: what is asked for ahead of need is for the same pools.
    pub(super) asked_for: Subject,
    /// What unreachable or sealed sidecars hold, as the ledger last said.
    pub out_of_reach: Option<(Credits, Timestamp)>,
    /// The largest recent run.
    pub(super) largest: Credits,
    /// What runs took since the last ask.
    pub(super) burn: Credits,
    /// The last grant that brought credits, and what runs took since.
    pub(super) granted: Credits,
    pub(super) taken: Credits,
    /// An allowance has ended, and the next is to be fetched.
    pub(super) refill: bool,
    /// Whether the lease served anything since it was last renewed.
    pub(super) used: bool,
    /// Since when the ledger has not answered; `None` while it does.
    pub(super) cut_off: Option<Timestamp>,
    /// Until when the ledger decides what this slice can't.
    pub(super) scarce_until: Timestamp,
    /// A renewal failed: the next try is not before this instant.
    pub(super) renew_after: Timestamp,
    /// From when on what runs hold must be known to the account run by run, because it rolls over or was borrowed.
    pub(super) carry_from: Timestamp,
    /// The period's end that open runs were last promoted for.
    pub(super) carried: Option<Timestamp>,
    /// A reservation that was made since.
    pub(super) uncarried: Option<Timestamp>,
    /// Reservations answered before they were on disk: record number and credits.
    pub(super) unflushed: VecDeque<(u64, Credits)>,
    pub(super) unflushed_sum: Credits,
    /// When runs outlive their minute, in order of authorisation; the first is mostly open.
    pub(super) young: VecDeque<(Timestamp, ReservationId)>,
    /// Roots of families reported for promotion, by the record's number.
    pub(super) handing: BTreeMap<u64, Vec<ReservationId>>,
    pub(super) handing_roots: BTreeSet<ReservationId>,
    /// Runs that the ledger was asked about last, whether they may begin.
    pub(super) asked: VecDeque<ReservationId>,
    /// Runs that the account itself holds now, and until when that is remembered.
    pub(super) handed: BTreeMap<ReservationId, Timestamp>,
    /// Caps that alerts watch, each with the use from which on the alert holds.
    pub(super) watched: Vec<(Name, Credits)>,
    /// Roots' budgets that an alert is about.
    pub(super) near: BTreeSet<CapKey>,
    /// What reported records charged, over all the sidecar's life.
    pub(super) charged: Charged,
}

/// See `Wallet::carry_from`.
fn carry_from(contract: &Contract) -> Timestamp {
    if contract.plan.carries_over() {
        contract.period_ends.plus_micros(-promotion::AHEAD.approximate_micros())
    } else {
        Timestamp::from_micros(i64::MAX)
    }
}

/// How a slice counts.
struct Slice<'a>(Option<&'a Contract>);

impl Counting for Slice<'_> {
    fn born(&self, key: &CapKey, at: Timestamp) -> Option<Counter> {
        let mut counter = self.0?.counter(key, at)?;
        // A root's own budget is born with its run; of any other counter this slice has what it leased.
        if !matches!(key.scope, ScopeKey::Root(_)) {
            counter.limit = Credits::ZERO;
        }
        Some(counter)
    }

    fn counted(&self, key: &CapKey, counter: &mut Counter) {
        // What was used past the leased room is the account's: room that is leased later does not make up for it.
        if !matches!(key.scope, ScopeKey::Root(_)) {
            counter.limit = counter.limit.max(counter.spent);
        }
    }
}

impl Wallet {
    pub fn new(account: AccountId) -> Self {
        Self {
            account,
            terms: None,
            contract: None,
            book: Book::default(),
            lease: None,
            seen: None,
            rest: Rest::default(),
            asked_for: Subject::default(),
            out_of_reach: None,
            largest: Credits::ZERO,
            burn: Credits::ZERO,
            granted: Credits::ZERO,
            taken: Credits::ZERO,
            refill: false,
            used: false,
            cut_off: None,
            scarce_until: Timestamp::default(),
            renew_after: Timestamp::default(),
            carry_from: Timestamp::from_micros(i64::MAX),
            carried: None,
            uncarried: None,
            unflushed: VecDeque::new(),
            unflushed_sum: Credits::ZERO,
            young: VecDeque::new(),
            handing: BTreeMap::new(),
            handing_roots: BTreeSet::new(),
            asked: VecDeque::new(),
            handed: BTreeMap::new(),
            watched: Vec::new(),
            near: BTreeSet::new(),
            charged: Charged::default(),
        }
    }

    /// Journals an event and evolves by it.
    pub(super) fn emit(
        &mut self,
        mut event: WalletEvent,
        urgent: bool,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> u64 {
        if let WalletEvent::Run(run) = &mut event {
            run.handing = self.is_handing(run.id);
        }
        log.prepare(&self.account, &event);
        let (roots, reported) = (event.handed_roots(), event.is_reported());
        // Before it is journaled: an event that breaks this account must not break it again at every start.
        self.apply(event, here.playbooks);
        let number = log.append(&self.account, urgent);
        if reported {
            self.charged.through = number;
        }
        self.hand(number, roots);
        number
    }

    /// Evolves by an event of the journal.
    pub fn apply(&mut self, event: WalletEvent, playbooks: &Playbooks) {
        self.count(&event);
        match event {
            WalletEvent::Run(event) => self.apply_run(event),
            WalletEvent::Terms(terms) => self.set_terms(&terms, playbooks),
            WalletEvent::Leased(leased) => self.apply_leased(*leased),
            WalletEvent::Returned(returned) | WalletEvent::Sealed(returned) => self.withdraw(&returned),
            WalletEvent::Promoted(_) | WalletEvent::PassedOn(_) => {}
            WalletEvent::HandedOver(ids) => self.hand_over(&ids),
            WalletEvent::LeaseOver(lease) => {
                if self.lease.as_ref().is_some_and(|held| held.lease == lease) {
                    self.lease = None;
                }
            }
            WalletEvent::Left(_) => self.lease = None,
            WalletEvent::Resumed(..) => {}
            WalletEvent::CutOff(since) => self.cut_off = since,
            WalletEvent::Snapshot(snapshot) => self.restore(*snapshot, playbooks),
        }
    }

    pub(super) fn frame<'a>(&'a self, here: Here<'a>, beyond: Beyond<'a>) -> Option<Frame<'a>> {
        let contract = self.contract.as_ref()?;
        Some(Frame {
            book: &self.book,
            contract,
            playbooks: here.playbooks,
            at: here.at,
            beyond,
            packs: Credits::ZERO,
        })
    }

    pub(super) fn set_terms(&mut self, terms: &AccountTerms, playbooks: &Playbooks) {
        let contract = playbooks.version(terms.version).and_then(|playbook| {
            let since = Since { origin: terms.origin, zone: &terms.zone };
            let known = self.contract.take().filter(|known| {
                known.playbook.version == terms.version
                    && known.plan.name == terms.plan
                    && known.overlay == terms.overlay
            });
            let new = match known {
                // An account's own plan takes time to read.
                Some(known) => Contract {
                    playbook: playbook.clone(),
                    origin: terms.origin,
                    zone: TimeZone::get(&terms.zone).unwrap_or(TimeZone::UTC),
                    ..known
                },
                None => Contract::of(playbook, &terms.plan, terms.overlay.clone(), since)?,
            };
            Some(Contract {
                suspended: terms.suspended,
                overage_limit: terms.overage_limit,
                period_ends: terms.period_ends,
                ..new
            })
        });
        if let Some(ended) = terms.overlay.ended {
            self.book.end_blocks(ended, Species::ends_with_subscription);
        }
        if let Some(contract) = &contract {
            self.book.sort_by(Sorting::of(&contract.plan));
        }
        self.carry_from = contract.as_ref().map_or(Timestamp::from_micros(i64::MAX), carry_from);
        for refund in &terms.refunds {
            let known = self.book.finals.get(&refund.run).map(|ended| (**ended).clone());
            let given = known.as_ref().and_then(|ended| ended.refunded).unwrap_or_default();
            if let Some(mut ended) = known.filter(|ended| ended.refunded.is_none() || given < refund.credits)
            {
                ended.give_back(refund.credits - given);
                let keep = ended.expires_at;
                self.book.remember(refund.run, ended, keep);
            }
        }
        self.contract = contract;
        self.terms = Some(terms.clone());
        self.note_all_near();
    }

    fn apply_run(&mut self, event: RunEvent) {
        let keep = match &event.change {
            Change::Ended(ended) => ended.expires_at,
            _ => event.at,
        };
        if let Change::Reserved(run) = &event.change {
            self.young.push_back((crate::lease::promotion::due(run.authorized_at), run.id));
        }
        let given_back = event.handing.then(|| given_back(&event));
        let ends = matches!(event.change, Change::Ended(_));
        for CapFlow { key, .. } in self.book.apply(event, keep, &Slice(self.contract.as_ref())) {
            if matches!(key.scope, ScopeKey::Root(_)) {
                self.note_near(&key);
            }
        }
        if ends {
            self.forget_young();
        }
        if let Some(mut given_back) = given_back {
            // What was held past the leased room takes none of it away.
            for (key, room) in &mut given_back.rooms {
                *room = self.book.counters.get(key).map_or(Credits::ZERO, Counter::leased).min(*room);
            }
            self.withdraw(&given_back);
        }
    }

    fn apply_leased(&mut self, leased: Leased) {
        for slice in &leased.slices {
            let more =
                Move { block: slice.id, from: Column::Outside, to: Column::Available, amount: slice.granted };
            match self.book.block(slice.id) {
                Some(_) => self.book.shift(&more),
                None => self.book.insert(slice.clone()),
            }
            // A change of plan may have prolonged the block since its last slice.
            if self.book.block(slice.id).is_some_and(|block| block.expires_at != slice.expires_at) {
                self.book.ends_at(slice.id, slice.expires_at);
            }
        }
        for room in &leased.rooms {
            let counters = &mut self.book.counters;
            match counters.get_mut(&room.key) {
                Some(counter) => counter.limit += room.amount,
                None => counters.insert(room.key.clone(), Counter::new(room.amount, room.ends_at, leased.at)),
            }
        }
        // The terms stay, the slices are in the book now.
        self.seen = Some((leased.lease, leased.number));
        self.lease = Some(Leased { slices: Vec::new(), rooms: Vec::new(), ..leased });
    }

    fn withdraw(&mut self, returned: &Returned) {
        for (block, amount) in &returned.slices {
            let step =
                Move { block: *block, from: Column::Available, to: Column::Withdrawn, amount: *amount };
            self.book.shift(&step);
        }
        for (key, amount) in &returned.rooms {
            if let Some(counter) = self.book.counters.get_mut(key) {
                counter.limit -= *amount;
            }
        }
    }

    /// The account itself holds these runs now: what they held leaves the slice.
    fn hand_over(&mut self, ids: &[ReservationId]) {
        for id in ids {
            let Some(run) = self.book.close(*id) else { continue };
            for draw in &run.held {
                self.book.shift(&Move {
                    block: draw.block,
                    from: Column::Held,
                    to: Column::Withdrawn,
                    amount: draw.amount,
                });
            }
            for hold in &run.caps {
                if let Some(counter) = self.book.counters.get_mut(&hold.key) {
                    counter.held -= hold.held;
                    // What was held past the leased room takes none of it away.
                    counter.limit -= counter.leased().min(hold.held);
                }
            }
            self.handed.insert(*id, run.latest);
            self.handing_roots.remove(&run.root);
            self.book.forget_budget(run.root);
        }
    }

    /// Idle credits and room: what nobody holds. Emergency credits are never idle: they wait for the ledger to be away.
    pub(super) fn idle(&self) -> Returned {
        let blocks = self.book.pools.iter().flat_map(|pool| &pool.blocks);
        Returned {
            slices: blocks
                .filter(|block| block.available.is_positive() && block.species != Species::Emergency)
                .map(|block| (block.id, block.available))
                .collect(),
            rooms: self
                .book
                .counters
                .shared_where(|_, counter| counter.room().is_positive())
                .map(|(key, counter)| (key.clone(), counter.room()))
                .collect(),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        self.lease.as_ref().map_or_else(Mark::default, |lease| lease.mark)
    }
}

/// What a run gives back: free to its slice, unless the account itself takes it.
fn given_back(event: &RunEvent) -> Returned {
    let free = |to: Place| to == Place::Free;
    let leased = |flow: &&CapFlow| free(flow.to) && !matches!(flow.key.scope, ScopeKey::Root(_));
    Returned {
        slices: event
            .flows
            .iter()
            .filter(|flow| free(flow.to))
            .map(|flow| (flow.block, flow.amount))
            .collect(),
        rooms: event.caps.iter().filter(leased).map(|flow| (flow.key.clone(), flow.amount)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::credit::{Block, PoolId};
    use crate::playbook::draw_order::Species;
    use crate::types::{BlockId, Timestamp};

    /// What was appended, and what was only made.
    #[derive(Default)]
    struct Counts(u64, u64);

    impl Log for Counts {
        fn prepare(&mut self, _: &AccountId, _: &WalletEvent) {
            self.1 += 1;
        }

        fn append(&mut self, _: &AccountId, _: bool) -> u64 {
            self.0 += 1;
            self.0
        }

        fn durable(&self) -> u64 {
            self.0
        }

        fn last(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn an_event_that_breaks_the_account_is_not_journaled() {
        let mut wallet = Wallet::new(AccountId::parse("acme").unwrap());
        let mut block = Block::new(BlockId(1), PoolId::Account, Species::OnDemand, Timestamp::default());
        block.withdrawn = Credits::MAX;
        wallet.book.insert(block);
        let playbooks = Playbooks::default();
        let here = Here { playbooks: &playbooks, at: Timestamp::default() };
        let returned = |amount| {
            WalletEvent::Returned(Returned {
                slices: vec![(BlockId(1), Credits::whole(amount))],
                rooms: Vec::new(),
            })
        };
        let mut log = Counts::default();
        assert_eq!(wallet.emit(returned(0), true, here, &mut log), 1);
        let broken = catch_unwind(AssertUnwindSafe(|| wallet.emit(returned(1), true, here, &mut log)));
        assert!(broken.is_err());
        assert_eq!((log.0, log.1), (1, 2));
    }
}
