//! What administrators do to an account. Every write is idempotent by its request id.

use jiff::tz::TimeZone;
use thiserror::Error;

use super::entry::{Answered, Reply, Source, What};
use super::work::Work;
use crate::credit::path::has_pool;
use crate::credit::{Block, Column, Move, PoolId};
use crate::lease::terms::HandleKey;
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, Length, Money, Name, RequestId, calendar};

/// A write of an administrator.
#[derive(Clone, Debug)]
pub enum Command {
    Subscribe { plan: Name, zone: String, key: HandleKey },
    Suspend,
    Resume,
    Grant(Box<GrantAsk>),
    Void { block: BlockId },
    SetOverageLimit { credits: Credits },
    Purchase { pack: Name, by_member: bool, user: Option<Name> },
    Award { user: Name, incentive: Name },
    Allocate { from: PoolId, to: PoolId, credits: Credits },
}

#[derive(Clone, Debug)]
pub struct GrantAsk {
    pub credits: Credits,
    pub species: Species,
    /// From now.
    pub starts: Option<Length>,
    /// From the start.
    pub lasts: Option<Length>,
    pub priority: i32,
    pub price: Option<Money>,
    pub pool: PoolId,
}

/// Why the ledger refuses a write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdminRefusal {
    #[error("the account is not subscribed; subscribe it to a plan first")]
    AccountUnknown,
    #[error("the account is subscribed already")]
    AlreadySubscribed,
    #[error("the playbook in force has no plan `{0}`")]
    PlanUnknown(Name),
    #[error("no playbook is published yet; publish one first")]
    NoPlaybook,
    #[error("the plan has no pool `{0}`")]
    PoolUnknown(PoolId),
    #[error("`{0}` is not a time zone such as `Europe/Berlin`")]
    InvalidZone(String),
    #[error("no grant {} is known for this account", .0.0)]
    GrantUnknown(BlockId),
    #[error("`{0}` credits are not granted; only `on_demand`, `incentive`, `subscription` and `refund` are")]
    InvalidSpecies(Species),
    #[error("an account has at most {BLOCKS_MAX} open blocks; void or let end some first")]
    TooManyBlocks,
    #[error("the plan has no pack `{0}`")]
    PackUnknown(Name),
    #[error("members may not buy this; an administrator may")]
    BuyerNotAllowed,
    #[error("the plan has no incentive `{0}`")]
    IncentiveUnknown(Name),
    #[error("the limit of the incentive `{0}` is reached")]
    IncentiveLimit(Name),
    #[error("the pool has not so many available credits")]
    CreditsExhausted,
    #[error("this request id came before with another request")]
    RequestIdReused,
}

/// Open blocks of an account: a draw looks at each, so that their number bounds a decision's time.
const BLOCKS_MAX: usize = 10_000;

impl AdminRefusal {
    /// The reason in the error's details.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AccountUnknown => "ACCOUNT_UNKNOWN",
            Self::AlreadySubscribed => "ALREADY_SUBSCRIBED",
            Self::PlanUnknown(_) => "PLAN_UNKNOWN",
            Self::NoPlaybook => "PLAYBOOK_UNKNOWN",
            Self::PoolUnknown(_) => "POOL_UNKNOWN",
            Self::InvalidZone(_) => "INVALID_TIME_ZONE",
            Self::GrantUnknown(_) => "GRANT_UNKNOWN",
            Self::InvalidSpecies(_) => "INVALID_SPECIES",
            Self::TooManyBlocks => "TOO_MANY_BLOCKS",
            Self::PackUnknown(_) => "PACK_UNKNOWN",
            Self::BuyerNotAllowed => "BUYER_NOT_ALLOWED",
            Self::IncentiveUnknown(_) => "INCENTIVE_UNKNOWN",
            Self::IncentiveLimit(_) => "INCENTIVE_LIMIT",
            Self::CreditsExhausted => "CREDITS_EXHAUSTED",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
        }
    }
}

impl Work<'_> {
    pub fn administer(
        &mut self,
        command: &Command,
        request: Option<&RequestId>,
    ) -> Result<Reply, AdminRefusal> {
        let fingerprint = fingerprint(command);
        if let Some(before) = request.and_then(|id| self.account.requests.get(id)) {
            return if before.fingerprint == fingerprint {
                Ok(before.reply)
            } else {
                Err(AdminRefusal::RequestIdReused)
            };
        }
        if self.account.contract.is_none() && !matches!(command, Command::Subscribe { .. }) {
            return Err(AdminRefusal::AccountUnknown);
        }
        let (what, reply) = match command {
            Command::Subscribe { plan, zone, key } => (self.subscribe(plan, zone, *key)?, Reply::Done),
            Command::Suspend => (What::Suspended, Reply::Done),
            Command::Resume => (What::Resumed, Reply::Done),
            Command::SetOverageLimit { credits } => (What::OverageLimited(*credits), Reply::Done),
            Command::Grant(ask) => self.grant(ask)?,
            Command::Void { block } => self.void(*block)?,
            Command::Purchase { pack, by_member, user } => self.purchase(pack, *by_member, user.as_ref())?,
            Command::Award { user, incentive } => self.award(user, incentive)?,
            Command::Allocate { from, to, credits } => self.allocate(from, to, *credits)?,
        };
        let answered = request.map(|id| Answered { id: id.clone(), fingerprint, reply });
        self.emit_answered(what, answered);
        self.refresh = true;
        if matches!(command, Command::Subscribe { .. }) {
            self.pass_time(self.at);
        }
        Ok(reply)
    }

    fn subscribe(&self, plan: &Name, zone: &str, key: HandleKey) -> Result<What, AdminRefusal> {
        if self.account.contract.is_some() {
            return Err(AdminRefusal::AlreadySubscribed);
        }
        let playbook = self.playbooks.latest().ok_or(AdminRefusal::NoPlaybook)?;
        if !playbook.plans.contains_key(plan) {
            return Err(AdminRefusal::PlanUnknown(plan.clone()));
        }
        if TimeZone::get(zone).is_err() {
            return Err(AdminRefusal::InvalidZone(zone.chars().take(64).collect()));
        }
        Ok(What::Subscribed { plan: plan.clone(), version: playbook.version, zone: zone.to_owned(), key })
    }

    fn grant(&self, ask: &GrantAsk) -> Result<(What, Reply), AdminRefusal> {
        if ask.species.is_last_resort() || ask.species == Species::Rollover {
            return Err(AdminRefusal::InvalidSpecies(ask.species));
        }
        let pooling = self.account.contract.as_ref().map(|contract| contract.plan.pooling);
        if !has_pool(&pooling.unwrap_or_default(), &ask.pool) {
            return Err(AdminRefusal::PoolUnknown(ask.pool.clone()));
        }
        self.room_for_blocks(1)?;
        let zone = self.account.contract.as_ref().map_or(TimeZone::UTC, |contract| contract.zone.clone());
        let id = BlockId(self.account.next_block);
        let starts = ask.starts.map_or(self.at, |length| calendar::plus(self.at, length, &zone));
        let mut block = Block::new(id, ask.pool.clone(), ask.species, starts);
        block.expires_at = ask.lasts.map(|length| calendar::plus(starts, length, &zone));
        block.priority = ask.priority;
        block.unit_price = ask.price;
        let block = Box::new(block.with(ask.credits));
        Ok((What::Granted { block, source: Source::Administrator }, Reply::Granted(id)))
    }

    pub(super) fn room_for_blocks(&self, more: usize) -> Result<(), AdminRefusal> {
        let open: usize = self.account.book.pools.iter().map(|pool| pool.blocks.len()).sum();
        if open + more > BLOCKS_MAX { Err(AdminRefusal::TooManyBlocks) } else { Ok(()) }
    }

    /// What is left of a grant is withdrawn; held credits stay held.
    fn void(&self, id: BlockId) -> Result<(What, Reply), AdminRefusal> {
        let block = self.account.book.block(id).ok_or(AdminRefusal::GrantUnknown(id))?;
        let amount = block.available;
        let moves = if amount.is_positive() {
            vec![Move { block: id, from: Column::Available, to: Column::Withdrawn, amount }]
        } else {
            Vec::new()
        };
        Ok((What::Voided(moves), Reply::Withdrawn(amount)))
    }
}

/// What "the same request" compares: the command without what the ledger draws itself.
fn fingerprint(command: &Command) -> [u8; 16] {
    let text = match command {
        Command::Subscribe { plan, zone, .. } => format!("subscribe {plan} {zone}"),
        other => format!("{other:?}"),
    };
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(blake3::hash(text.as_bytes()).as_bytes()) {
        *to = *from;
    }
    out
}
