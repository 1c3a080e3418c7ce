//! Asking for credits and room, and giving idle ones back.

use super::state::{Here, Log, Wallet};
use crate::credit::cap::Need;
use crate::credit::path::has_pool;
use crate::credit::{Block, CapKey, Counter, ScopeKey, Subject};
use crate::engine::authorize::Short;
use crate::lease::event::Leased;
use crate::lease::exchange::AHEAD_MAX;
use crate::lease::{Ask, Grant, Mark, Returned, WalletEvent};
use crate::playbook::cap::{self, Measure};
use crate::playbook::draw_order::Species;
use crate::types::calendar;
use crate::types::{BlockId, Credits, Timestamp};

/// The holder stops this part of a lease before the ledger does: it covers the drift of two clocks many times over.
const MARGIN_PART: i64 = 20;

/// A lease is renewed once this part of it is left.
const RENEW_PART: i64 = 3;

/// More is asked for once less than this part of the last grant is left.
const LOW_WATER_PART: i64 = 4;

/// A renewal that failed is tried again after this part of the time left, and no sooner than a tenth of a second.
const RETRY_PART: i64 = 4;
const RETRY_MICROS_MIN: i64 = 100_000;

/// How long the ledger's word that something is scarce is taken: then a lease is asked for again.
const SCARCE_MICROS: i64 = 1_000_000;

impl Wallet {
    /// What to ask for a need; `force` takes what there is, even where it is not enough.
    pub(super) fn ask(&mut self, short: &Short, whose: &Subject, force: bool, at: Timestamp) -> Ask {
        self.asked_for.clone_from(whose);
        Ask {
            ahead: self.ahead(at),
            lease: self.seen,
            credits: short.credits,
            basic: short.basic,
            partial: force,
            caps: short.caps.clone(),
            burn: std::mem::take(&mut self.burn),
            totals: self.totals(),
            // Given where it is sent.
            number: 0,
            largest: self.largest,
            subject: whose.clone(),
            prior: short.prior,
            buys: false,
        }
    }

    /// Windows of caps that begin within another lease time from now, where the one before them served runs here: room
    /// there must be in hand when they begin, or the first run waits for the ledger.
    fn ahead(&self, at: Timestamp) -> Vec<Need> {
        let (Some(lease), Some(contract)) = (&self.lease, &self.contract) else { return Vec::new() };
        let until = at.plus_micros(lease.until.micros_since(lease.at));
        let next = |(key, counter): (&CapKey, &Counter)| {
            let begins = counter.ends_at.filter(|end| *end > at && *end <= until)?;
            let cap = cap::named(&contract.plan, key.cap.as_str())?;
            let key = CapKey { window: begins, ..key.clone() };
            if !counter.used().is_positive() || self.book.counters.contains_key(&key) {
                return None;
            }
            let amount = match cap.measure {
                Measure::Credits { .. } => self.largest,
                Measure::Runs { .. } | Measure::Concurrent { .. } => Credits::ONE,
            };
            let every = cap.window()?;
            let ends_at = calendar::window(begins, every, contract.origin, &contract.zone).end;
            Some(Need { key, amount, limit: cap.limit(), soft: cap.soft, ends_at: Some(ends_at) })
        };
        self.book.counters.shared().filter_map(next).take(AHEAD_MAX).collect()
    }

    /// Whether runs took so much since the last grant that more should be there before one has to wait: three quarters of
    /// it, and the rest is below a quarter. Never where the ledger has less left than that grant was: near zero, each
    /// run asks for just what it needs.
    pub fn wants_more(&self, at: Timestamp) -> bool {
        if self.refill {
            return self.lease.as_ref().is_some_and(|lease| lease.until > at);
        }
        // The sum of a few blocks is taken only where a comparison of two numbers says that it may matter.
        let left = self.granted - self.taken;
        if self.granted.is_zero() || left.times(LOW_WATER_PART) > self.granted {
            return false;
        }
        let blocks = self.book.pools.iter().flat_map(|pool| &pool.blocks);
        // Last resorts serve no ordinary run.
        let ordinary = blocks.filter(|block| !block.species.is_last_resort());
        let idle: Credits = ordinary.map(|block| block.available).sum();
        idle.times(LOW_WATER_PART) < self.granted
            && self.rest.balance > self.granted
            && self.scarce_until <= at
            && self.lease.as_ref().is_some_and(|lease| lease.until > at)
    }

    /// A request for more credits, ahead of need. Once per grant: whatever comes of it, the next run that lacks something
    /// asks by itself.
    pub fn growth(&mut self, at: Timestamp) -> Ask {
        let need = Short { credits: self.largest, caps: self.budgets(at), ..Short::default() };
        (self.granted, self.taken) = (Credits::ZERO, Credits::ZERO);
        self.ask(&need, &self.asked_for.clone(), false, at)
    }

    /// Caps of the whole account's credits, of which there was plenty: their room is used up as credits are, so that more
    /// of it is asked for at once.
    fn budgets(&self, at: Timestamp) -> Vec<Need> {
        let Some(contract) = &self.contract else { return Vec::new() };
        let need = |(key, counter): (&CapKey, &Counter)| {
            let cap = cap::named(&contract.plan, key.cap.as_str())?;
            let plenty = self.rest.caps.get(key).is_some_and(|room| *room > self.granted);
            let runs = counter.used().is_positive() && counter.ends_at.is_none_or(|end| end > at);
            let counts = key.scope == ScopeKey::Account && matches!(cap.measure, Measure::Credits { .. });
            (plenty && runs && counts).then(|| Need {
                key: key.clone(),
                amount: self.largest,
                limit: cap.limit(),
                soft: cap.soft,
                ends_at: counter.ends_at,
            })
        };
        self.book.counters.shared().filter_map(need).collect()
    }

    /// A request for more time.
    pub fn renewal(&mut self, at: Timestamp) -> Ask {
        self.used = false;
        self.ask(&Short::default(), &Subject::default(), false, at)
    }

    /// Takes a grant in; answers the record that must be on disk before the lease is used. `asked_at` is when the request
    /// was sent: the lease counts from there.
    pub fn leased(&mut self, grant: &Grant, asked_at: Timestamp, here: Here<'_>, log: &mut dyn Log) -> u64 {
        if self.terms.as_ref() != Some(&grant.terms) || self.contract.is_none() {
            self.emit(WalletEvent::Terms(Box::new(grant.terms.clone())), false, here, log);
        }
        self.hear(grant, here, log);
        self.refill = false;
        let in_hand = self.lease.as_ref().filter(|lease| lease.lease == grant.lease);
        if in_hand.is_some_and(|lease| lease.number >= grant.number) {
            // An answer that came twice brings nothing twice.
            return log.last();
        }
        let until = asked_at.plus_micros(grant.lasts - grant.lasts / MARGIN_PART);
        let new: Credits = grant.slices.iter().map(|slice| slice.granted).sum();
        if new.is_positive() {
            (self.granted, self.taken) = (new, Credits::ZERO);
        }
        let blocks = self.book.pools.iter().flat_map(|pool| &pool.blocks);
        let leased: Credits = blocks.map(|block| block.available).sum::<Credits>() + new;
        let mark = match &self.contract {
            Some(contract) => Mark::of(leased, self.largest, &contract.plan),
            None => Mark::default(),
        };
        let leased = Leased {
            lease: grant.lease,
            number: grant.number,
            slices: grant.slices.clone(),
            rooms: grant.rooms.clone(),
            until,
            mark,
            at: here.at,
        };
        let number = self.emit(WalletEvent::Leased(Box::new(leased)), true, here, log);
        self.keep_share(grant.emergency.unwrap_or_default(), here, log).unwrap_or(number)
    }

    /// What the ledger said beside what it leased.
    pub fn hear(&mut self, grant: &Grant, here: Here<'_>, log: &mut dyn Log) {
        self.rest.balance = grant.rest.0;
        self.rest.last_resort = grant.rest.1;
        for (pool, rest) in &grant.rest_pools {
            self.rest.pools.insert(pool.clone(), *rest);
            self.rest.dry.remove(pool);
        }
        self.rest.dry.extend(grant.dry.iter().cloned());
        for (key, room) in &grant.rest_caps {
            self.rest.caps.insert(key.clone(), *room);
        }
        self.out_of_reach = grant.out_of_reach;
        self.in_touch(here, log);
        self.scarce_until = if grant.scarce { here.at.plus_micros(SCARCE_MICROS) } else { here.at };
    }

    /// Emergency credits beyond this sidecar's share go back, for the other sidecars of the account.
    pub(super) fn keep_share(&mut self, share: Credits, here: Here<'_>, log: &mut dyn Log) -> Option<u64> {
        let slices: Vec<_> = self
            .emergency()
            .map(|block| (block.id, block.available.saturating_sub(share)))
            .filter(|(_, excess)| excess.is_positive())
            .collect();
        let returned = Returned { slices, rooms: Vec::new() };
        (!returned.is_empty()).then(|| self.emit(WalletEvent::Returned(returned), true, here, log))
    }

    pub(super) fn emergency(&self) -> impl Iterator<Item = &Block> {
        let blocks = self.book.pools.iter().flat_map(|pool| &pool.blocks);
        blocks.filter(|block| block.species == Species::Emergency)
    }

    /// New terms came from the ledger: they hold at once, and idle credits go back, to be leased anew by them.
    pub fn changed(&mut self, terms: &crate::lease::AccountTerms, here: Here<'_>, log: &mut dyn Log) {
        self.in_touch(here, log);
        self.scarce_until = here.at;
        if self.terms.as_ref() != Some(terms) || self.contract.is_none() {
            self.emit(WalletEvent::Terms(Box::new(terms.clone())), false, here, log);
        }
        // A new period changes the terms, and may have been leased of already.
        self.refill |= self.used && self.holds_new_allowance(here.at);
        self.give_back(here, log);
    }

    /// Whether something is idle here of an allowance that began within the last lease time.
    fn holds_new_allowance(&self, at: Timestamp) -> bool {
        let Some(lease) = &self.lease else { return false };
        let since = at.plus_micros(-lease.until.micros_since(lease.at));
        let mut blocks = self.book.pools.iter().flat_map(|pool| &pool.blocks);
        blocks.any(|block| {
            block.species == Species::Subscription
                && block.available.is_positive()
                && block.effective_at > since
        })
    }

    /// The account is not known to the ledger.
    pub fn closed(&mut self) {
        self.cut_off = None;
        self.contract = None;
        self.terms = None;
    }

    /// Gives back what nobody holds. The ledger counts it from the report on.
    pub fn give_back(&mut self, here: Here<'_>, log: &mut dyn Log) -> Option<u64> {
        let idle = self.idle();
        self.rest = crate::engine::frame::Rest::default();
        if idle.is_empty() {
            return None;
        }
        Some(self.emit(WalletEvent::Returned(idle), true, here, log))
    }

    /// What came back to the slice must not stay there where nothing may be drawn on it (the lease is over) or where it
    /// pays a debt first.
    pub(super) fn tidy(&mut self, here: Here<'_>, log: &mut dyn Log) {
        if self.lease.is_none()
            || self.terms.as_ref().is_some_and(|terms| terms.owes)
            || self.has_lost_pools()
        {
            self.give_back(here, log);
        }
    }

    /// Whether anything is idle in a pool that the plan does not have any more: no run draws on it, and it merges at the
    /// ledger.
    fn has_lost_pools(&self) -> bool {
        let Some(contract) = &self.contract else { return false };
        let lost = self.book.pools.iter().filter(|pool| !has_pool(&contract.plan.pooling, &pool.id));
        lost.flat_map(|pool| &pool.blocks).any(|block| block.available.is_positive())
    }

    /// What blocks that have ended still have idle here goes back, to lapse.
    pub(super) fn give_back_ended(&mut self, here: Here<'_>, log: &mut dyn Log) {
        let blocks = self.book.pools.iter().flat_map(|pool| &pool.blocks);
        let slices: Vec<_> = blocks
            .filter(|block| block.has_ended(here.at) && block.available.is_positive())
            .map(|block| (block.id, block.available))
            .collect();
        if !slices.is_empty() {
            // An allowance that has ended is followed by the next, as a rule: it is fetched before a run has to wait.
            let allowance = |(id, _): &(BlockId, Credits)| {
                self.book.block(*id).is_some_and(|block| block.species == Species::Subscription)
            };
            self.refill |= self.used && slices.iter().any(allowance);
            self.emit(WalletEvent::Returned(Returned { slices, rooms: Vec::new() }), false, here, log);
        }
    }

    /// When the lease is to be renewed, or tried to be again; at its end at the latest.
    pub fn renew_at(&self) -> Option<Timestamp> {
        let lease = self.lease.as_ref()?;
        let low_water = lease.until.plus_micros(-(lease.until.micros_since(lease.at) / RENEW_PART));
        Some(low_water.max(self.renew_after).min(lease.until))
    }

    /// The ledger did not answer a renewal: the next try comes when a quarter of the time left has passed.
    pub fn renewal_failed(&mut self, here: Here<'_>, log: &mut dyn Log) {
        // Asking ahead of need is given up until the next grant.
        (self.granted, self.taken, self.refill) = (Credits::ZERO, Credits::ZERO, false);
        if let Some(until) = self.lease.as_ref().map(|lease| lease.until) {
            self.used = true;
            self.out_of_touch(here, log);
            let wait = until.micros_since(here.at) / RETRY_PART + RETRY_MICROS_MIN;
            self.renew_after = here.at.plus_micros(wait);
        }
    }

    /// The ledger did not answer. From the first time on, `offline.for` counts, through restarts too.
    pub(super) fn out_of_touch(&mut self, here: Here<'_>, log: &mut dyn Log) {
        if self.cut_off.is_some() {
            return;
        }
        // Nothing is served of an account that is not known, and nothing is kept of it.
        match self.terms {
            Some(_) => {
                self.emit(WalletEvent::CutOff(Some(here.at)), false, here, log);
            }
            None => self.cut_off = Some(here.at),
        }
    }

    pub(super) fn in_touch(&mut self, here: Here<'_>, log: &mut dyn Log) {
        if self.cut_off.take().is_some() && self.terms.is_some() {
            self.emit(WalletEvent::CutOff(None), false, here, log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit::reservation::State;
    use crate::credit::{Block, PoolId, Reservation};
    use crate::engine::call::{Authorize, Commit};
    use crate::engine::contract::Playbooks;
    use crate::engine::wallet::{Link, Step};
    use crate::lease::terms::{AccountTerms, HandleKey};
    use crate::lease::{LeaseTotals, Room};
    use crate::playbook::charge::RunResult;
    use crate::playbook::{self, Quantities};
    use crate::types::{AccountId, BlockId, LeaseId, Name, ReservationId};

    struct Forgets;

    impl Log for Forgets {
        fn prepare(&mut self, _: &AccountId, _: &WalletEvent) {}
        fn append(&mut self, _: &AccountId, _: bool) -> u64 {
            1
        }
        fn durable(&self) -> u64 {
            1
        }
        fn last(&self) -> u64 {
            1
        }
    }

    const PLAYBOOK: &str = "{bursar: 1, playbook: p, version: 1, credit: {unit: output, price: 0.10, currency: USD}, \
        actions: {draft: {weight: 1}}, plans: {basic: {allowance: {credits: 1000, every: month}}}}";

    fn grant(at: Timestamp, credits: i64, rest: i64) -> Grant {
        let species = crate::playbook::draw_order::Species::Subscription;
        Grant {
            lease: LeaseId(1),
            number: 1,
            slices: vec![Block::new(BlockId(1), PoolId::Account, species, at).with(Credits::whole(credits))],
            rooms: Vec::<Room>::new(),
            terms: AccountTerms {
                plan: Name::parse("basic").unwrap(),
                version: 1,
                origin: at,
                zone: "UTC".to_owned(),
                suspended: false,
                overage_limit: None,
                period_ends: at.plus_micros(1_000_000_000_000),
                key: HandleKey { id: 1, secret: [3; 32] },
                owes: false,
                overlay: Default::default(),
                refunds: Vec::new(),
            },
            lasts: 60_000_000,
            rest: (Credits::whole(rest), Credits::ZERO),
            rest_caps: Vec::new(),
            out_of_reach: None,
            at,
            emergency: None,
            scarce: false,
            rest_pools: Vec::new(),
            dry: Vec::new(),
        }
    }

    /// One credit's worth.
    fn draft(run: u8) -> Authorize {
        Authorize {
            id: ReservationId([run; 16]),
            action: Name::parse("draft").unwrap(),
            subject: Default::default(),
            quantities: Some(Quantities::Single("1".parse().unwrap())),
            dimensions: Default::default(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: None,
            validate_only: false,
        }
    }

    fn succeeded(id: ReservationId) -> Commit {
        Commit::new(id, RunResult::Succeeded)
    }

    /// After how many runs of one credit more is wanted, of a grant of 40 with so many left at the ledger.
    fn wants_more_after(rest: i64) -> Option<u8> {
        let mut playbooks = Playbooks::default();
        playbooks.publish(playbook::load(PLAYBOOK).unwrap());
        let at: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        let here = Here { playbooks: &playbooks, at };
        let mut wallet = Wallet::new(AccountId::parse("acme").unwrap());
        wallet.leased(&grant(at, 40, rest), at, here, &mut Forgets);
        for run in 1..=40 {
            let call = draft(run);
            let step = wallet.authorize(&call, false, Link::Untried, here, &mut Forgets).unwrap();
            assert!(matches!(step, Step::Done { .. }), "the slice pays");
            if wallet.wants_more(at) {
                let ask = wallet.growth(at);
                assert_eq!((ask.credits, ask.totals == LeaseTotals::default()), (Credits::whole(1), false));
                assert!(!wallet.wants_more(at), "once per grant");
                return Some(run);
            }
        }
        None
    }

    #[test]
    fn more_is_wanted_before_a_run_waits_and_never_near_zero() {
        assert_eq!(wants_more_after(900), Some(31));
        assert_eq!(wants_more_after(40), None);
        assert_eq!(wants_more_after(0), None);
    }

    #[test]
    fn a_run_that_the_ledger_was_asked_about_in_vain_is_committed_provisionally() {
        let mut playbooks = Playbooks::default();
        playbooks.publish(playbook::load(PLAYBOOK).unwrap());
        let at: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        let here = Here { playbooks: &playbooks, at };
        let mut wallet = Wallet::new(AccountId::parse("acme").unwrap());
        wallet.leased(&grant(at, 40, 900), at, here, &mut Forgets);
        for (run, retry_of) in [(1, None), (2, Some(ReservationId([9; 16])))] {
            let call = Authorize { id: ReservationId([run; 16]), retry_of, ..draft(run) };
            // Only the ledger may know the run that is tried again; where it does not answer, this one is an ordinary run.
            if retry_of.is_some() {
                let first = wallet.authorize(&call, false, Link::Untried, here, &mut Forgets).unwrap();
                assert!(matches!(first, Step::Decide), "{first:?}");
            }
            let link = if retry_of.is_some() { Link::Unreachable } else { Link::Untried };
            let begun = wallet.authorize(&call, false, link, here, &mut Forgets).unwrap();
            assert!(matches!(&begun, Step::Done { answer, .. } if answer.reservation.is_some()), "{begun:?}");
            // The doubt is part of the run, which a restart reads from its record.
            let record = minicbor::to_vec(wallet.book.runs.get(&call.id).unwrap()).unwrap();
            assert_eq!(minicbor::decode::<Reservation>(&record).unwrap().doubtful, retry_of.is_some());
            let done = wallet.commit(&succeeded(call.id), "", Link::Untried, here, &mut Forgets).unwrap();
            let Step::Done { answer, .. } = done else { panic!("{done:?}") };
            assert_eq!((answer.state, answer.provisional), (State::Settled, retry_of.is_some()));
        }
    }

    #[test]
    fn a_run_that_has_ended_is_no_reason_to_look_when_its_minute_is_over() {
        let mut playbooks = Playbooks::default();
        playbooks.publish(playbook::load(PLAYBOOK).unwrap());
        let at: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        let mut wallet = Wallet::new(AccountId::parse("acme").unwrap());
        let lasts = 3_600_000_000;
        let grant = Grant { lasts, ..grant(at, 900, 900) };
        wallet.leased(&grant, at, Here { playbooks: &playbooks, at }, &mut Forgets);
        let idle = wallet.next_timer();
        let minute = |run: u8| Some(at.plus_micros(60_000_000 + i64::from(run)));
        for run in 1..=200 {
            let here = Here { playbooks: &playbooks, at: at.plus_micros(i64::from(run)) };
            wallet.authorize(&draft(run), false, Link::Untried, here, &mut Forgets).unwrap();
        }
        assert_eq!(wallet.next_timer(), minute(1));
        let here = Here { playbooks: &playbooks, at: at.plus_micros(1_000) };
        let end = |run: u8, wallet: &mut Wallet| {
            let id = draft(run).id;
            wallet.commit(&succeeded(id), "", Link::Untried, here, &mut Forgets).unwrap();
        };
        // The first is open all the while: what ended behind it is forgotten once it ends, in parts.
        (2..=180).for_each(|run| end(run, &mut wallet));
        assert_eq!((wallet.next_timer(), wallet.young.len()), (minute(1), 200));
        end(1, &mut wallet);
        assert_eq!(wallet.young.len(), 136);
        (181..=200).for_each(|run| end(run, &mut wallet));
        assert_eq!((wallet.next_timer(), wallet.young.len()), (idle, 0));
    }
}
