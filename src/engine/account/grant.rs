//! What a grant says, once and again, and grants that never arrived.

use super::entry::{LeaseEntry, What};
use super::work::Work;
use crate::credit::cap::Need;
use crate::credit::hold::Draw;
use crate::credit::path::ACCOUNT;
use crate::credit::{Block, CapKey};
use crate::lease::{AccountTerms, Ask, Grant, Left, Returned, Room};
use crate::types::{BlockId, Credits, Epoch, LeaseId, SidecarId};

impl Work<'_> {
    pub(super) fn grant_lease(
        &mut self,
        sidecar: SidecarId,
        ask: &Ask,
        draws: Vec<Draw>,
        rooms: Vec<(CapKey, Credits)>,
        terms: AccountTerms,
    ) -> Grant {
        let draws: Vec<Draw> = draws.into_iter().chain(self.emergency_for(sidecar)).collect();
        let slices: Vec<Block> = draws.iter().filter_map(|draw| self.slice(draw)).collect();
        let rooms: Vec<(CapKey, Credits)> =
            rooms.into_iter().filter(|(_, amount)| amount.is_positive()).collect();
        let (id, grants) = match self.account.leases.get(&sidecar) {
            Some(lease) => (lease.id, lease.grants),
            None => (LeaseId(self.account.next_lease), 0),
        };
        let lasts = self.lasts();
        let emergency = self.emergency_share(sidecar);
        // A lease that brings nothing is no lease; a renewal of one in hand is.
        let keeps = self.account.leases.contains_key(&sidecar);
        let issued = keeps || !slices.is_empty() || !rooms.is_empty();
        let number = if issued { grants + 1 } else { 0 };
        if issued {
            self.emit(What::Leased(Box::new(LeaseEntry {
                sidecar,
                lease: id,
                number,
                slices: draws.iter().map(|draw| (draw.block, draw.amount)).collect(),
                rooms: rooms.clone(),
                // The ledger waits for a margin of half the lease before it counts it as ended.
                ends_at: self.at.plus_micros(lasts + lasts / 2),
                asked: (ask.number > 0).then_some(ask.number),
            })));
        }
        let grant = self.granted(sidecar, (id, number), slices, rooms, ask, terms);
        Grant { emergency, out_of_reach: self.out_of_reach(sidecar), ..grant }
    }

    /// What the newest grant brought, for the ask that it answers, delivered twice. `None` where the lease is over since.
    pub(super) fn granted_last(
        &mut self,
        sidecar: SidecarId,
        ask: &Ask,
        terms: AccountTerms,
    ) -> Option<Grant> {
        let lease = self.account.leases.get(&sidecar)?;
        let slice = |(block, amount): &(BlockId, Credits)| {
            let species = self.account.book.block(*block)?.species;
            self.slice(&Draw { block: *block, species, amount: *amount })
        };
        let (last, rooms) = &lease.last;
        let nothing = rooms.is_empty() && self.account.usable(&last.iter().copied().collect()).is_zero();
        let scarce = nothing && !ask.partial && self.is_decided_here(sidecar, ask);
        let slices = last.iter().filter_map(slice).collect();
        let (rooms, number, ends_at) = (rooms.clone(), (lease.id, lease.grants), lease.ends_at);
        let grant = self.granted(sidecar, number, slices, rooms, ask, terms);
        // The plan may have changed: its holder counts from before this instant, and ends before the ledger does.
        let lasts = grant.lasts.min(ends_at.micros_since(self.at)).max(0);
        let (emergency, out_of_reach) = (self.emergency_share(sidecar), self.out_of_reach(sidecar));
        Some(Grant { lasts, emergency, out_of_reach, scarce, ..grant })
    }

    /// Whether runs that need what is asked for are for the account itself to decide.
    fn is_decided_here(&self, sidecar: SidecarId, ask: &Ask) -> bool {
        let path = self.path(&ask.subject);
        let prior = self.prior_for(sidecar, ask, &path);
        self.is_scarce(sidecar, ask, &path)
            || self.is_counted_here(&self.credits_for(sidecar, ask, &path, &prior.draws))
    }

    fn granted(
        &mut self,
        sidecar: SidecarId,
        (lease, number): (LeaseId, u32),
        slices: Vec<Block>,
        rooms: Vec<(CapKey, Credits)>,
        ask: &Ask,
        terms: AccountTerms,
    ) -> Grant {
        let rooms = rooms
            .into_iter()
            .map(|(key, amount)| {
                let ends_at = self.account.book.counters.get(&key).and_then(|counter| counter.ends_at);
                Room { key, amount, ends_at }
            })
            .collect();
        let path = self.path(&ask.subject);
        Grant {
            lease,
            number,
            slices,
            rooms,
            terms,
            lasts: self.lasts(),
            rest: (self.balance_left(ACCOUNT), self.rest(ACCOUNT).1 + self.packs_left()),
            rest_pools: self.rest_pools(&path),
            dry: self.dry(sidecar, &path),
            rest_caps: ask
                .caps
                .iter()
                .map(|need| (need.key.clone(), self.rest_of_cap(sidecar, need)))
                .collect(),
            out_of_reach: None,
            at: self.at,
            emergency: None,
            scarce: false,
        }
    }

    /// What is left of a counter. A soft cap is not reached while others hold room of it idle.
    fn rest_of_cap(&self, sidecar: SidecarId, need: &Need) -> Credits {
        let idle = if need.soft { self.room_idle_elsewhere(sidecar, &need.key) } else { Credits::ZERO };
        self.room_left(need) + idle
    }

    fn slice(&self, draw: &Draw) -> Option<Block> {
        let block = self.account.book.block(draw.block)?;
        let mut slice = Block::new(block.id, block.pool.clone(), block.species, block.effective_at);
        slice.expires_at = block.expires_at;
        slice.priority = block.priority;
        slice.unit_price = block.unit_price;
        Some(slice.with(draw.amount))
    }

    /// A grant that the sidecar does not know of was lost on its way: it asks one thing at a time.
    pub(super) fn account_for_lost_grant(&mut self, sidecar: SidecarId, ask: &Ask) {
        let Some(lease) = self.account.leases.get(&sidecar) else { return };
        let seen = ask.lease.filter(|(id, _)| *id == lease.id).map_or(0, |(_, number)| number);
        if seen < lease.grants && (!lease.last.0.is_empty() || !lease.last.1.is_empty()) {
            self.emit(What::GrantLost { sidecar });
        }
    }

    /// What a sidecar that stopped cleanly held of its lease, beyond what it keeps: grants that never reached it. Nothing
    /// once a later start is at work: that says itself what it knows of.
    pub(super) fn left_behind(&self, sidecar: SidecarId, epoch: Epoch, left: &Left) -> Returned {
        let later = self.account.sidecars.get(&sidecar).is_some_and(|seen| seen.epoch > epoch);
        let Some(lease) = self.account.leases.get(&sidecar).filter(|_| !later) else {
            return Returned::default();
        };
        let mut out = lease.out.clone();
        for (block, kept) in &left.keeps {
            out.entry(*block).and_modify(|out| *out -= (*kept).min(*out));
        }
        let rooms = lease.rooms.iter().map(|(key, room)| (key.clone(), *room)).collect();
        Returned { slices: out.into_iter().filter(|(_, out)| out.is_positive()).collect(), rooms }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::Leasing;
    use super::*;
    use crate::engine::account::{Account, Command, Entry, Report};
    use crate::engine::contract::Playbooks;
    use crate::lease::WalletEvent;
    use crate::lease::terms::HandleKey;
    use crate::playbook;
    use crate::types::{AccountId, Name, Timestamp};

    const PLAYBOOK: &str = "{bursar: 1, playbook: p, version: 1, credit: {unit: output, price: 0.10, currency: USD}, \
        actions: {draft: {weight: 1}}, plans: {basic: {allowance: {credits: 100, every: month}}}}";

    const SIDECAR: SidecarId = SidecarId([1; 16]);
    const EPOCH: Epoch = Epoch { generation: 1, start: 1 };

    struct World {
        account: Account,
        playbooks: Playbooks,
        at: Timestamp,
        journal: Vec<Entry>,
    }

    impl World {
        fn new() -> Self {
            let mut playbooks = Playbooks::default();
            playbooks.publish(playbook::load(PLAYBOOK).unwrap());
            let account = Account::new(AccountId::parse("acme").unwrap());
            let at = "2026-01-31T00:00:00Z".parse().unwrap();
            let mut world = Self { account, playbooks, at, journal: Vec::new() };
            let (plan, key) = (Name::parse("basic").unwrap(), HandleKey { id: 1, secret: [3; 32] });
            let command = Command::Subscribe { plan, zone: "UTC".to_owned(), key, overlay: Box::default() };
            world.work(|work| work.administer(&command, None).map(drop)).unwrap();
            world
        }

        fn work<T>(&mut self, act: impl FnOnce(&mut Work<'_>) -> T) -> T {
            let mut work = Work::begin(&mut self.account, &self.playbooks, self.at);
            let done = act(&mut work);
            self.journal.extend(work.finish().0);
            self.account.verify().unwrap();
            done
        }

        fn lease(&mut self, epoch: Epoch, ask: &Ask) -> Leasing {
            self.work(|work| work.lease(SIDECAR, epoch, ask, true))
        }

        /// Another ledger process takes over: it has the journal alone.
        fn restart(&mut self) {
            let mut replayed = Account::new(self.account.id.clone());
            for entry in &self.journal {
                assert!(entry.follows(&replayed.link));
                replayed.apply(entry, &self.playbooks);
            }
            self.account = replayed;
        }
    }

    fn ask(number: u64, credits: i64) -> Ask {
        Ask { credits: Credits::whole(credits), number, ..Ask::default() }
    }

    fn granted(leasing: Leasing) -> Grant {
        let Leasing::Granted(grant) = leasing else { panic!("no grant: {leasing:?}") };
        *grant
    }

    /// A ledger that was stalled may work on an ask that its sidecar has given up after the one that followed it: taken
    /// at its word, it would take back the grant that the later one brought. Nor does a ledger that has restarted.
    #[test]
    fn an_ask_that_was_given_up_takes_nothing_back() {
        for restarts in [false, true] {
            let mut world = World::new();
            granted(world.lease(EPOCH, &ask(2, 10)));
            let before = world.account.leases.clone();
            if restarts {
                world.restart();
            }
            let entries = world.journal.len();
            assert!(matches!(world.lease(EPOCH, &ask(1, 20)), Leasing::Overtaken));
            assert_eq!((&world.account.leases, world.journal.len()), (&before, entries));
            // The next one, which knows of no grant either, says that it was lost.
            granted(world.lease(EPOCH, &ask(3, 10)));
            assert_eq!(world.account.leases, before);
            // A later start begins to count anew; what comes of the earlier one is too late.
            let later = Epoch { start: 2, ..EPOCH };
            granted(world.lease(later, &ask(1, 10)));
            assert!(matches!(world.lease(EPOCH, &ask(4, 10)), Leasing::Fenced));
        }
    }

    #[test]
    fn an_ask_delivered_twice_gets_the_same_answer_and_changes_nothing() {
        for restarts in [false, true] {
            let mut world = World::new();
            let first = granted(world.lease(EPOCH, &ask(1, 10)));
            let (before, entries) = (world.account.leases.clone(), world.journal.len());
            if restarts {
                world.restart();
            }
            let again = granted(world.lease(EPOCH, &ask(1, 10)));
            assert_eq!(
                (&again.slices, again.number, again.lease),
                (&first.slices, first.number, first.lease)
            );
            assert!(!again.slices.is_empty() && again.lasts <= first.lasts);
            assert_eq!((&world.account.leases, world.journal.len()), (&before, entries));
            // Once the lease is over, nobody waits for the answer.
            world.at = world.at.plus_micros(100 * first.lasts + 3_600_000_000);
            world.work(|work| work.reclaim());
            assert!(world.account.leases.is_empty());
            assert!(matches!(world.lease(EPOCH, &ask(1, 10)), Leasing::Overtaken));
            assert!(world.account.leases.is_empty());
        }
    }

    /// Builds that do not number their asks are served as before.
    #[test]
    fn asks_without_a_number_are_each_new() {
        let mut world = World::new();
        granted(world.lease(EPOCH, &ask(0, 10)));
        granted(world.lease(EPOCH, &ask(0, 10)));
        assert_eq!(world.account.sidecars.get(&SIDECAR).map(|seen| seen.asked), Some(0));
    }

    fn leave(world: &mut World, epoch: Epoch, number: u64, asked: u64) {
        let event = WalletEvent::Left(Left { asked, keeps: Vec::new() });
        world.work(|work| work.absorb(SIDECAR, Report { epoch, number, event }));
    }

    #[test]
    fn a_clean_stop_frees_a_grant_that_was_lost_on_its_way() {
        for restarts in [false, true] {
            let mut world = World::new();
            granted(world.lease(EPOCH, &ask(1, 10)));
            leave(&mut world, EPOCH, 1, 2);
            if restarts {
                world.restart();
            }
            assert!(world.account.leases.is_empty());
            assert_eq!(world.account.elsewhere().len(), 0);
            // The ask that was under way when it stopped comes too late, and so does the one that was answered.
            for number in [2, 1] {
                assert!(matches!(world.lease(EPOCH, &ask(number, 10)), Leasing::Overtaken));
            }
            assert!(world.account.leases.is_empty());
            granted(world.lease(Epoch { start: 2, ..EPOCH }, &ask(1, 10)));
        }
    }

    #[test]
    fn what_a_stopped_start_left_takes_nothing_from_the_next() {
        let mut world = World::new();
        let later = Epoch { start: 2, ..EPOCH };
        granted(world.lease(later, &ask(1, 10)));
        let before = world.account.leases.clone();
        leave(&mut world, EPOCH, 1, 7);
        assert_eq!(world.account.leases, before);
        granted(world.lease(later, &ask(2, 10)));
    }
}
