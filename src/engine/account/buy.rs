//! Packs: bought by administrators and members, and by the plan's top-up.

use super::administer::AdminRefusal;
use super::entry::{Buyer, Purchase, Reply, What};
use super::work::Work;
use crate::credit::draw;
use crate::credit::hold;
use crate::credit::path::{has_pool, shared};
use crate::credit::{Block, Place, PoolId, Reason, RunEvent, Subject};
use crate::engine::call::{Commit, Progress};
use crate::engine::commit::{Outcome, commit};
use crate::engine::progress::progress;
use crate::playbook::Mode;
use crate::playbook::draw_order::Species;
use crate::playbook::on_demand::{Landing, Members, Pack};
use crate::playbook::overage::Link;
use crate::playbook::pooling::PoolScope;
use crate::types::amount::AMOUNT_MAX;
use crate::types::{BlockId, Credits, Money, Name, Ratio, calendar};

/// Packs that one top-up buys at most: a pack of a single credit must not fill the account with blocks.
const PACKS_MAX: u32 = 1_000;

/// The plan's top-up, as it stands in this period.
struct TopUp {
    name: Name,
    pack: Pack,
    below: Option<Credits>,
    /// Packs that it may still buy.
    left: u32,
    /// Links that come before it in the chain.
    before: Vec<Species>,
}

impl Work<'_> {
    pub(super) fn purchase(
        &self,
        pack: &Name,
        by_member: bool,
        user: Option<&Name>,
    ) -> Result<(What, Reply), AdminRefusal> {
        let contract = self.account.contract.as_ref().ok_or(AdminRefusal::AccountUnknown)?;
        let shelf = &contract.plan.on_demand;
        let bought = *shelf.packs.get(pack).ok_or_else(|| AdminRefusal::PackUnknown(pack.clone()))?;
        if by_member {
            match shelf.members {
                Members::MayNot => return Err(AdminRefusal::BuyerNotAllowed),
                Members::May => {}
                Members::UpTo(limit, every) => {
                    let window = calendar::window(self.at, every, contract.origin, &contract.zone);
                    let own = self.account.purchases.values().filter(|purchase| {
                        purchase.by == Buyer::Member
                            && purchase.user.as_ref() == user
                            && purchase.at >= window.start
                    });
                    let credits: Credits = own.map(|purchase| purchase.credits).sum();
                    if credits + bought.credits > limit {
                        return Err(AdminRefusal::BuyerNotAllowed);
                    }
                }
            }
        }
        self.room_for_blocks(1)?;
        let own = user.map(|user| PoolId::User(user.clone()));
        let pool = match (shelf.landing, own) {
            (Landing::Personal, Some(own)) if by_member && has_pool(&contract.plan.pooling, &own) => own,
            _ => PoolId::Account,
        };
        let by = if by_member { Buyer::Member } else { Buyer::Admin };
        let what = self.bought(pack, bought, pool, by, user);
        Ok((what, Reply::Purchased(BlockId(self.account.next_block), bought.price)))
    }

    fn bought(&self, name: &Name, pack: Pack, pool: PoolId, by: Buyer, user: Option<&Name>) -> What {
        let id = BlockId(self.account.next_block);
        let mut block = Block::new(id, pool, Species::OnDemand, self.at);
        block.expires_at = self
            .account
            .contract
            .as_ref()
            .and_then(|contract| pack.lasts.map(|lasts| calendar::plus(self.at, lasts, &contract.zone)));
        block.unit_price = price_of_one(pack);
        let purchase = Purchase {
            pack: name.clone(),
            credits: pack.credits,
            price: pack.price,
            by,
            user: user.cloned(),
            at: self.at,
        };
        What::Purchased { block: Box::new(block.with(pack.credits)), purchase }
    }

    fn top_up(&self) -> Option<TopUp> {
        let contract = self.account.contract.as_ref()?;
        let enforced = contract.plan.mode == Mode::Enforce && !contract.suspended;
        let position = contract.plan.overage.iter().position(|link| matches!(link, Link::TopUp { .. }))?;
        let Link::TopUp { pack, below, at_most } = contract.plan.overage.get(position)? else { return None };
        let left = at_most.unwrap_or(u32::MAX).saturating_sub(self.account.topped_up);
        let bought = *contract.plan.on_demand.packs.get(pack)?;
        let before = contract.plan.overage.iter().take(position).filter_map(Link::species).collect();
        (enforced && left > 0 && bought.credits.is_positive()).then(|| TopUp {
            name: pack.clone(),
            pack: bought,
            below: *below,
            left,
            before,
        })
    }

    /// What the top-up may still bring in this period.
    pub(super) fn packs_left(&self) -> Credits {
        let Some(top_up) = self.top_up() else { return Credits::ZERO };
        let all = top_up.pack.credits.decimal().checked_mul(top_up.left.min(PACKS_MAX).into());
        all.and_then(|all| Credits::new(all).ok()).unwrap_or(Credits::whole(AMOUNT_MAX))
    }

    /// Buys what a run of `amount` lacks of the pool that its chain follows, if the run then fits. Answers whether anything
    /// was bought.
    pub(super) fn buy_to_fit(&mut self, amount: Credits, basic: bool, subject: &Subject) -> bool {
        let Some(top_up) = self.top_up().filter(|_| amount.is_positive()) else { return false };
        let path = self.path(subject);
        let Some(frame) = self.frame() else { return false };
        let drawn = draw::draw(&frame.book.pools, amount, frame.limits(basic, &path, subject));
        let first = |species: Species| !species.is_last_resort() || top_up.before.contains(&species);
        let paid: Credits =
            drawn.draws.iter().filter(|draw| first(draw.species)).map(|draw| draw.amount).sum();
        let packs = top_up.packs_for(amount - paid);
        let brings = top_up.pack.credits.decimal() * rust_decimal::Decimal::from(packs);
        if packs == 0 || drawn.missing.decimal() > brings {
            return false;
        }
        self.buy(&top_up, packs, &shared(&path));
        true
    }

    /// What a commit uses beyond its hold is drawn like a new reservation: packs are bought for it alike.
    pub(super) fn buy_for_overrun(&mut self, call: &Commit) {
        if self.top_up().is_none() {
            return;
        }
        let Some(run) = self.account.book.runs.get(&call.id) else { return };
        let subject = run.run.subject.clone();
        let event = self.frame().and_then(|frame| match commit(&frame, call) {
            Ok(Outcome::Done(_, event)) => event,
            _ => None,
        });
        if let Some(event) = event {
            self.buy_to_fit(drawn_by(&event), true, &subject);
        }
    }

    /// The same for a run that is to hold more.
    pub(super) fn buy_for_progress(&mut self, call: &Progress) {
        if self.top_up().is_none() {
            return;
        }
        let Some(run) = self.account.book.runs.get(&call.id) else { return };
        let (subject, parent) = (run.run.subject.clone(), run.run.parent);
        let Some(Ok(Outcome::Done(answer, event))) = self.frame().map(|frame| progress(&frame, call)) else {
            return;
        };
        let only_credits = answer.reason.is_none_or(|reason| reason == Reason::CreditsExhausted);
        if !only_credits || parent.is_some() {
            return;
        }
        let amount = if answer.missing.is_positive() {
            // Refused, it draws nothing: it would draw all that there is, and what is missing.
            self.drawable(&subject) + answer.missing
        } else {
            event.map_or(Credits::ZERO, |event| drawn_by(&event))
        };
        self.buy_to_fit(amount, true, &subject);
    }

    fn drawable(&self, subject: &Subject) -> Credits {
        let path = self.path(subject);
        let Some(frame) = self.frame() else { return Credits::ZERO };
        let limits = frame.limits(true, &path, subject);
        hold::total(&draw::draw(&frame.book.pools, Credits::whole(AMOUNT_MAX), limits).draws)
    }

    /// A draw that left a pool's unreserved credits below `below` brings them back there.
    pub(super) fn top_up_below(&mut self) {
        for (pool, before) in std::mem::take(&mut self.unreserved) {
            let Some(top_up) = self.top_up() else { return };
            let Some(below) = top_up.below else { return };
            let now = self.unreserved_of(&pool);
            if now < below && now < before {
                let packs = top_up.packs_for(below - now);
                self.buy(&top_up, packs, &pool);
            }
        }
    }

    /// Notes what pools have unreserved before runs draw on them.
    pub(super) fn note_unreserved(&mut self) {
        if !self.unreserved.is_empty() || self.top_up().is_none_or(|top_up| top_up.below.is_none()) {
            return;
        }
        let hybrid = self
            .account
            .contract
            .as_ref()
            .is_some_and(|contract| contract.plan.pooling.scope == PoolScope::Hybrid);
        let pools = self.account.book.pools.iter().map(|pool| pool.id.clone());
        let shared = pools.filter(|pool| match pool {
            PoolId::Account => true,
            PoolId::Team(_) => !hybrid,
            PoolId::User(_) | PoolId::Seats => false,
        });
        self.unreserved = shared.map(|pool| (pool.clone(), self.unreserved_of(&pool))).collect();
    }

    /// What no run has reserved of a pool, as far as leases' holders have said.
    fn unreserved_of(&self, pool: &PoolId) -> Credits {
        let account = &*self.account;
        let Some(pool) = account.book.pool(pool) else { return Credits::ZERO };
        let counts = pool.blocks.iter().filter(|b| b.pays(self.at) && !b.species.is_last_resort());
        counts
            .map(|block| {
                let leased = account.leases.values().map(|lease| account.idle_in(lease, block.id));
                block.available + leased.sum()
            })
            .sum()
    }

    fn buy(&mut self, top_up: &TopUp, packs: u32, pool: &PoolId) {
        for _ in 0..packs {
            if self.room_for_blocks(1).is_err() {
                return;
            }
            let what = self.bought(&top_up.name, top_up.pack, pool.clone(), Buyer::TopUp, None);
            self.emit(what);
            self.refresh = true;
        }
        if top_up.below.is_some() {
            // A draw that follows in this command is seen against what was bought for it.
            let now = self.unreserved_of(pool);
            self.unreserved.retain(|(known, _)| known != pool);
            self.unreserved.push((pool.clone(), now));
        }
    }
}

impl TopUp {
    /// So many packs as bring `credits`, within what it may still buy.
    fn packs_for(&self, credits: Credits) -> u32 {
        let mut packs = 0;
        let mut brought = Credits::ZERO;
        while brought < credits && packs < self.left.min(PACKS_MAX) {
            brought += self.pack.credits;
            packs += 1;
        }
        packs
    }
}

/// What an event takes from pools, and what they could not pay.
fn drawn_by(event: &RunEvent) -> Credits {
    let drawn = event.flows.iter().filter(|flow| flow.from == Place::Free).map(|flow| flow.amount);
    drawn.sum::<Credits>() + event.debt.or_zero()
}

/// The price of one credit of a pack, where it can be told exactly enough.
fn price_of_one(pack: Pack) -> Option<Money> {
    Ratio::of(pack.price.decimal())?.divide(pack.credits.decimal())?.money()
}
