//! A ledger that was restored from a backup: sidecars send again what they retained, and tell what their slices hold and
//! ever charged. What this shows and no record explains is booked as one charge.

use std::collections::BTreeMap;

use super::entry::{Recounted, Unexplained, What};
use super::state::{Account, Lease};
use super::work::Work;
use crate::credit::draw::{self, Limits};
use crate::credit::path::ACCOUNT;
use crate::credit::{Column, Move, PoolId};
use crate::lease::{Ask, Recount};
use crate::types::{BlockId, Credits, SidecarId, Timestamp};

impl Work<'_> {
    /// Whether the sidecar has grants that this account never gave: it was restored from a backup that is older.
    pub fn knows_less(&self, sidecar: SidecarId, ask: &Ask) -> bool {
        let Some((id, number)) = ask.lease else { return false };
        let given =
            self.account.leases.get(&sidecar).filter(|lease| lease.id == id).map(|lease| lease.grants);
        // Grant 0 brought nothing but terms.
        (number > 0 && id.0 >= self.account.next_lease) || given.is_some_and(|given| number > given)
    }

    /// Takes a slice as its sidecar counts it. Answers the unexplained charge. Once more with the same count changes nothing;
    /// one that is older than what is known here is passed over.
    pub fn recount(&mut self, sidecar: SidecarId, recount: &Recount) -> Credits {
        if self.account.contract.is_none()
            || self.account.sidecars.get(&sidecar).is_some_and(|seen| seen.number > recount.through)
        {
            return Credits::ZERO;
        }
        let charged = self.charge_unexplained(sidecar, recount);
        self.take_slice(sidecar, recount);
        self.lapse_ended();
        self.repay();
        charged
    }

    fn charge_unexplained(&mut self, sidecar: SidecarId, recount: &Recount) -> Credits {
        let known = self.account.charged.get(&sidecar).cloned().unwrap_or_default();
        let charged: Vec<(BlockId, Credits)> = recount
            .charged
            .iter()
            .map(|(block, amount)| (*block, *amount - known.of(*block)))
            .filter(|(_, amount)| amount.is_positive())
            .collect();
        let total: Credits = charged.iter().map(|(_, amount)| *amount).sum();
        if !total.is_positive() {
            return Credits::ZERO;
        }
        // Worked out on a copy, step by step: one entry then tells all of it.
        let mut book = self.account.book.clone();
        let has: BTreeMap<BlockId, Credits> = recount.out.iter().copied().collect();
        let mut out = self.out(sidecar);
        let (mut moves, mut lease, mut late) = (Vec::new(), Vec::new(), Credits::ZERO);
        for (block, amount) in &charged {
            // What the lease holds here and no longer there was used, or went back: use comes first.
            let held = out.get(block).copied().unwrap_or_default();
            let spare = held.saturating_sub(has.get(block).copied().unwrap_or_default()).min(*amount);
            let free = book.block(*block).map_or(Credits::ZERO, |block| block.available);
            let free = free.min(*amount - spare);
            for (from, part) in [(Column::Held, spare), (Column::Available, free)] {
                if part.is_positive() {
                    let step = Move { block: *block, from, to: Column::Spent, amount: part };
                    book.shift(&step);
                    moves.push(step);
                }
            }
            if spare.is_positive() {
                lease.push((*block, -spare));
                out.insert(*block, held - spare);
            }
            late += *amount - spare - free;
        }
        // Whose runs they were is not known.
        let drawn = draw::draw(&book.pools, late, Limits::late(ACCOUNT, self.at));
        moves.extend(drawn.draws.iter().map(|draw| Move {
            block: draw.block,
            from: Column::Available,
            to: Column::Spent,
            amount: draw.amount,
        }));
        let debt = drawn.missing;
        let unexplained = Unexplained { sidecar, charged, moves, lease, debt };
        self.emit_owing(What::Unexplained(Box::new(unexplained)), &PoolId::Account, debt);
        total
    }

    /// The slice is what its sidecar says, as far as there are credits for it.
    fn take_slice(&mut self, sidecar: SidecarId, recount: &Recount) {
        let lease = self.account.leases.get(&sidecar);
        let grants = lease.map(|lease| (lease.id, lease.grants));
        if let (Some((id, given)), Some((said, came))) = (grants, recount.lease)
            && id == said
            && given > came
        {
            // A grant is on its way that it does not count yet.
            return;
        }
        let ends_at = match lease {
            Some(lease) if recount.lease.is_none_or(|(id, _)| id == lease.id) => lease.ends_at,
            _ => self.at.plus_micros(self.lasts() + self.lasts() / 2),
        };
        let before = self.out(sidecar);
        let rooms_before = lease.map(|lease| lease.rooms.clone()).unwrap_or_default();
        let (mut moves, mut out) = (Vec::new(), Vec::new());
        let said: BTreeMap<BlockId, Credits> = recount.out.iter().copied().collect();
        for block in before.keys().chain(said.keys()).copied().collect::<std::collections::BTreeSet<_>>() {
            let here = before.get(&block).copied().unwrap_or_default();
            let there = said.get(&block).copied().unwrap_or_default();
            let free = match self.account.book.block(block) {
                Some(found) if found.elastic => there,
                found => found.map_or(Credits::ZERO, |found| found.available),
            };
            let now = there.min(here + free);
            let (from, to, amount) = if now > here {
                (Column::Available, Column::Held, now - here)
            } else {
                (Column::Held, Column::Available, here - now)
            };
            if amount.is_positive() {
                moves.push(Move { block, from, to, amount });
            }
            if now.is_positive() {
                out.push((block, now));
            }
        }
        let said: BTreeMap<_, Credits> = recount.rooms.iter().cloned().collect();
        let keys: std::collections::BTreeSet<_> = rooms_before.keys().chain(said.keys()).cloned().collect();
        let difference = |key| {
            let (here, there) = (rooms_before.get(&key), said.get(&key));
            let more = there.copied().unwrap_or_default() - here.copied().unwrap_or_default();
            (!more.is_zero()).then_some((key, more))
        };
        let counters: Vec<_> = keys.into_iter().filter_map(difference).collect();
        if moves.is_empty() && counters.is_empty() && grants == recount.lease {
            return;
        }
        self.emit(What::Recounted(Box::new(Recounted {
            sidecar,
            lease: recount.lease,
            out,
            rooms: recount.rooms.clone(),
            moves,
            counters,
            ends_at,
        })));
    }
}

impl Account {
    pub(super) fn unexplained(&mut self, unexplained: &Unexplained) {
        let Unexplained { sidecar, charged, moves, lease, debt } = unexplained;
        self.charged.entry(*sidecar).or_default().book(charged.iter().copied());
        for step in moves {
            self.shift(*step);
        }
        self.change_out(*sidecar, lease, &[]);
        if debt.is_positive() {
            self.owe(&PoolId::Account, *debt, false);
        }
    }

    pub(super) fn recounted(&mut self, recounted: &Recounted, at: Timestamp) {
        let Recounted { sidecar, lease, out, rooms, moves, counters, ends_at } = recounted;
        for step in moves {
            self.shift(*step);
        }
        for (key, more) in counters {
            self.count(key, *more, Credits::ZERO, at);
        }
        if lease.is_none() && out.is_empty() && rooms.is_empty() {
            self.drop_lease(*sidecar);
            return;
        }
        let held = self.leases.entry(*sidecar).or_default();
        let (id, grants) = lease.unwrap_or((held.id, held.grants));
        self.ends.remove(&(held.ends_at, *sidecar));
        self.ends.insert((*ends_at, *sidecar));
        *held = Lease {
            id,
            grants,
            out: out.iter().copied().collect(),
            rooms: rooms.iter().cloned().collect(),
            ends_at: *ends_at,
            last: Default::default(),
            totals: std::mem::take(&mut held.totals),
        };
        self.next_lease = self.next_lease.max(id.0 + 1);
        self.weigh(*sidecar);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit::State;
    use crate::engine::account::RunAsk;
    use crate::engine::account::{Command, Leasing, Report};
    use crate::engine::call::{Authorize, Commit, Release};
    use crate::engine::contract::Playbooks;
    use crate::engine::wallet::{Here, Link, Log, Step, Wallet};
    use crate::lease::WalletEvent;
    use crate::lease::terms::HandleKey;
    use crate::playbook::{self, Quantities, RunResult};
    use crate::types::{AccountId, Epoch, Name, ReservationId};

    const PLAYBOOK: &str = "{bursar: 1, playbook: p, version: 1, credit: {unit: output, price: 0.10, currency: USD}, \
        actions: {draft: {weight: 1}}, plans: {basic: {allowance: {credits: 100, every: month}, \
        caps: [{name: all, per: account, limit: 90, every: month}]}}}";
    const EPOCH: Epoch = Epoch { generation: 1, start: 1 };

    #[derive(Default)]
    struct Journal(Vec<WalletEvent>, Option<WalletEvent>);

    impl Log for Journal {
        fn prepare(&mut self, _: &AccountId, event: &WalletEvent) {
            self.1 = Some(event.clone());
        }
        fn append(&mut self, _: &AccountId, _: bool) -> u64 {
            self.0.extend(self.1.take());
            self.0.len() as u64
        }
        fn durable(&self) -> u64 {
            self.0.len() as u64
        }
        fn last(&self) -> u64 {
            self.0.len() as u64
        }
    }

    /// A sidecar with its wallet and journal.
    struct Sidecar {
        id: SidecarId,
        wallet: Wallet,
        journal: Journal,
        runs: u8,
    }

    struct World {
        playbooks: Playbooks,
        at: Timestamp,
        account: Account,
    }

    impl World {
        fn new() -> Self {
            let mut playbooks = Playbooks::default();
            playbooks.publish(playbook::load(PLAYBOOK).unwrap());
            let account = Account::new(AccountId::parse("acme").unwrap());
            let mut world = Self { playbooks, at: "2026-01-31T00:00:00Z".parse().unwrap(), account };
            let (plan, key) = (Name::parse("basic").unwrap(), HandleKey { id: 1, secret: [3; 32] });
            let subscribe = Command::Subscribe { plan, zone: "UTC".to_owned(), key, overlay: Box::default() };
            world.work(|work| work.administer(&subscribe, None).unwrap());
            world
        }

        fn work<T>(&mut self, act: impl FnOnce(&mut Work<'_>) -> T) -> T {
            let mut work = Work::begin(&mut self.account, &self.playbooks, self.at);
            let answer = act(&mut work);
            work.finish();
            self.account.verify().unwrap();
            answer
        }

        fn lease(&mut self, sidecar: &mut Sidecar, ask: &Ask) {
            let leasing = self.work(|work| work.lease(sidecar.id, EPOCH, ask, true));
            let Leasing::Granted(grant) = leasing else { panic!("{leasing:?}") };
            let here = Here { playbooks: &self.playbooks, at: self.at };
            sidecar.wallet.leased(&grant, self.at, here, &mut sidecar.journal);
        }

        fn authorize(&mut self, sidecar: &mut Sidecar, quantity: u64) -> Option<ReservationId> {
            sidecar.runs += 1;
            let call = draft(sidecar.runs, quantity);
            let mut link = Link::Untried;
            loop {
                let here = Here { playbooks: &self.playbooks, at: self.at };
                match sidecar.wallet.authorize(&call, false, link, here, &mut sidecar.journal).unwrap() {
                    Step::Done { answer, .. } => return answer.reservation,
                    Step::Lease(ask) => {
                        if sidecar.wallet.contract.is_some() {
                            link = Link::Asked;
                        }
                        self.lease(sidecar, &ask);
                    }
                    Step::Decide => panic!("nothing is elsewhere"),
                }
            }
        }

        fn commit(&mut self, sidecar: &mut Sidecar, id: ReservationId) {
            let call = Commit::new(id, RunResult::Succeeded);
            let here = Here { playbooks: &self.playbooks, at: self.at };
            sidecar.wallet.commit(&call, "", Link::Untried, here, &mut sidecar.journal).unwrap();
        }

        fn run(&mut self, sidecar: &mut Sidecar, quantity: u64) {
            let id = self.authorize(sidecar, quantity).unwrap();
            self.commit(sidecar, id);
        }

        /// Sends the records after `from` again.
        fn report(&mut self, sidecar: &Sidecar, from: u64) {
            let records = sidecar.journal.0.iter().zip(1u64..).filter(|(event, _)| event.is_reported());
            for (event, number) in records.filter(|(_, number)| *number > from) {
                let report = Report { epoch: EPOCH, number, event: event.clone() };
                self.work(|work| work.absorb(sidecar.id, report));
            }
        }

        fn recount(&mut self, sidecar: &Sidecar) -> Credits {
            let recount = sidecar.wallet.recount().unwrap();
            self.work(|work| work.recount(sidecar.id, &recount))
        }

        /// (available, held, spent, debt)
        fn sums(&self) -> (Credits, Credits, Credits, Credits) {
            let sum = |of: fn(&crate::credit::Block) -> Credits| self.account.book.blocks().map(of).sum();
            let debt = self.account.book.pools.iter().map(|pool| pool.debt).sum();
            (sum(|b| b.available), sum(|b| b.held), sum(|b| b.spent), debt)
        }
    }

    fn draft(run: u8, quantity: u64) -> Authorize {
        Authorize {
            id: ReservationId([run; 16]),
            action: Name::parse("draft").unwrap(),
            subject: Default::default(),
            quantities: Some(Quantities::Single(quantity.to_string().parse().unwrap())),
            dimensions: Default::default(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: None,
            validate_only: false,
        }
    }

    fn sidecar(id: u8) -> Sidecar {
        let wallet = Wallet::new(AccountId::parse("acme").unwrap());
        Sidecar { id: SidecarId([id; 16]), wallet, journal: Journal::default(), runs: id * 50 }
    }

    fn credits(parts: (i64, i64, i64, i64)) -> (Credits, Credits, Credits, Credits) {
        let c = Credits::whole;
        (c(parts.0), c(parts.1), c(parts.2), c(parts.3))
    }

    #[test]
    fn what_is_sent_again_needs_no_unexplained_charge() {
        let (mut world, mut a) = (World::new(), sidecar(1));
        world.run(&mut a, 2);
        world.report(&a, 0);
        let backup = world.account.clone();
        let before = a.journal.0.len() as u64;
        world.run(&mut a, 3);
        let open = world.authorize(&mut a, 1).unwrap();
        world.report(&a, before);
        let truth = world.sums();

        world.account = backup;
        world.report(&a, before);
        assert_eq!(world.recount(&a), Credits::ZERO);
        assert_eq!(world.sums(), truth);
        // Life goes on: the open run is settled, the idle rest goes back.
        world.commit(&mut a, open);
        let here = Here { playbooks: &world.playbooks, at: world.at };
        a.wallet.give_back(here, &mut a.journal);
        world.report(&a, before);
        assert_eq!(world.sums(), credits((94, 0, 6, 0)));
    }

    #[test]
    fn what_no_record_explains_is_charged_once() {
        let (mut world, mut a) = (World::new(), sidecar(1));
        world.run(&mut a, 2);
        world.report(&a, 0);
        let backup = world.account.clone();
        world.run(&mut a, 3);
        let trimmed = a.journal.0.len() as u64;
        world.run(&mut a, 4);
        world.report(&a, 0);
        let truth = world.sums();

        world.account = backup;
        world.report(&a, trimmed);
        assert_eq!(world.recount(&a), Credits::whole(3));
        assert_eq!(world.sums(), truth);
        let before = world.account.number;
        assert_eq!(world.recount(&a), Credits::ZERO);
        assert_eq!(world.account.number, before, "the same count changes nothing");
        // A later record is no part of an older count.
        let old = a.wallet.recount().unwrap();
        world.run(&mut a, 1);
        world.report(&a, trimmed);
        assert_eq!(world.work(|work| work.recount(a.id, &old)), Credits::ZERO);
        assert_eq!(world.sums().2, truth.2 + Credits::whole(1));
    }

    #[test]
    fn a_lease_that_the_ledger_never_gave_is_known_and_taken_in() {
        let (mut world, mut a) = (World::new(), sidecar(1));
        let backup = world.account.clone();
        let open = world.authorize(&mut a, 5).unwrap();
        let truth = world.sums();
        let rooms = world.account.leases[&a.id].rooms.clone();
        let ask = Ask { lease: a.wallet.lease.as_ref().map(|l| (l.lease, l.number)), ..Ask::default() };
        assert!(!world.work(|work| work.knows_less(a.id, &ask)));

        world.account = backup;
        assert!(world.work(|work| work.knows_less(a.id, &ask)));
        assert_eq!(world.recount(&a), Credits::ZERO);
        assert_eq!(world.sums(), truth);
        assert_eq!(world.account.leases[&a.id].rooms, rooms);
        assert!(!world.work(|work| work.knows_less(a.id, &ask)));
        world.commit(&mut a, open);
        world.report(&a, 0);
        assert_eq!(world.sums().2, Credits::whole(5));
    }

    #[test]
    fn where_the_credits_are_gone_the_unexplained_is_debt() {
        let (mut world, mut a, mut b) = (World::new(), sidecar(1), sidecar(2));
        let backup = world.account.clone();
        for _ in 0..10 {
            world.run(&mut a, 5);
        }
        world.report(&a, 0);
        world.account = backup;
        // Whoever leases before the count takes what the lost charge had used: nothing holds it.
        let here = Here { playbooks: &world.playbooks, at: world.at };
        a.wallet.give_back(here, &mut a.journal);
        for _ in 0..12 {
            world.run(&mut b, 5);
        }
        world.report(&b, 0);
        let here = Here { playbooks: &world.playbooks, at: world.at };
        b.wallet.give_back(here, &mut b.journal);
        world.report(&b, 0);
        assert_eq!(world.recount(&a), Credits::whole(50));
        assert_eq!(world.sums(), credits((0, 0, 100, 10)));
    }

    #[test]
    fn a_release_ends_the_hold_whose_answer_was_lost() {
        let (mut world, mut a) = (World::new(), sidecar(1));
        // The ledger held it for a start of this sidecar that was killed before it heard so.
        let ask = RunAsk::Authorize(Box::new(draft(a.runs + 1, 2)));
        world.work(|work| work.decide(&ask, a.id).unwrap());
        let id = world.authorize(&mut a, 2).unwrap();
        assert_eq!(world.account.book.runs.get(&id).unwrap().held_total(), Credits::whole(2));

        let here = Here { playbooks: &world.playbooks, at: world.at };
        a.wallet
            .release(&Release { id, accepted_at: None }, "", Link::Untried, here, &mut a.journal)
            .unwrap();
        a.wallet.give_back(here, &mut a.journal);
        world.report(&a, 0);
        assert!(world.account.book.runs.get(&id).is_none());
        assert_eq!(world.account.book.finals.get(&id).unwrap().state, State::Released);
        assert_eq!(world.sums(), credits((100, 0, 0, 0)));
    }
}
