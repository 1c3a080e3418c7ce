//! What administrators do to an account. Every write is idempotent by its request id.

use jiff::tz::TimeZone;
use thiserror::Error;

use super::amounts;
use super::entry::{Answered, Reply, Source, What};
use super::transfer::TransferAsk;
use super::work::Work;
use crate::credit::{Block, Column, Move, PoolId};
use crate::lease::terms::HandleKey;
use crate::playbook::draw_order::Species;
use crate::playbook::overlay::{self, Overlay};
use crate::playbook::pooling::SEATS_MAX;
use crate::types::{BlockId, Credits, Length, Money, Name, RequestId, ReservationId, Timestamp, calendar};

/// A write of an administrator.
#[derive(Clone, Debug)]
pub enum Command {
    Subscribe {
        plan: Name,
        zone: String,
        key: HandleKey,
        overlay: Box<Overlay>,
    },
    Suspend,
    Resume,
    Grant(Box<GrantAsk>),
    Void {
        block: BlockId,
    },
    SetOverageLimit {
        credits: Credits,
    },
    Purchase {
        pack: Name,
        by_member: bool,
        user: Option<Name>,
    },
    Award {
        user: Name,
        incentive: Name,
    },
    Allocate {
        from: PoolId,
        to: PoolId,
        credits: Credits,
    },
    /// `now`, or at the period's end.
    ChangePlan {
        plan: Name,
        now: bool,
    },
    SetSeats {
        seats: u32,
    },
    /// `now`, or at the term's end.
    Cancel {
        now: bool,
    },
    /// The keys of a cap, as YAML.
    SetCap {
        cap: String,
    },
    /// Gives back a charge, or so much of it. `expires_at`: until when the run might live, as its handle says.
    Refund {
        run: ReservationId,
        credits: Option<Credits>,
        expires_at: Option<Timestamp>,
    },
    /// Gives back what is unused of a purchase.
    RefundPurchase {
        block: BlockId,
    },
    /// Moves credits to another pool or account.
    Transfer(Box<TransferAsk>),
}

impl Command {
    /// The word for it, in logs and in the audit.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Grant(_) => "grant",
            Self::Void { .. } => "void",
            Self::SetOverageLimit { .. } => "set_overage_limit",
            Self::Purchase { .. } => "purchase",
            Self::Award { .. } => "award",
            Self::Allocate { .. } => "allocate",
            Self::ChangePlan { .. } => "change_plan",
            Self::SetSeats { .. } => "set_seats",
            Self::Cancel { .. } => "cancel",
            Self::SetCap { .. } => "set_cap",
            Self::Refund { .. } | Self::RefundPurchase { .. } => "refund",
            Self::Transfer(_) => "transfer",
        }
    }
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
    #[error("`{0}` credits: give more than 0")]
    CreditsTooFew(Credits),
    #[error("`{credits}` has more decimal places than the playbook's credits, which have {scale}")]
    CreditsTooFine { credits: Credits, scale: u32 },
    #[error("an account has at most {BLOCKS_MAX} open blocks; void or let end some first")]
    TooManyBlocks,
    #[error("the subscription is over; subscribe the account anew")]
    SubscriptionOver,
    #[error("the playbook has no add-on `{0}`")]
    AddOnUnknown(Name),
    #[error("{0}")]
    OverridesRefused(String),
    #[error("the account's own terms have more than {} bytes; shorten them", overlay::TEXT_BYTES_MAX)]
    OverridesTooLong,
    #[error("an account has at most {} caps of its own", overlay::CAPS_MAX)]
    TooManyCaps,
    #[error("an account has at most {SEATS_MAX} seats")]
    TooManySeats,
    #[error("the ledger does not have this charge yet; try again when its sidecar has reported it")]
    ChargeNotReported,
    #[error("the plan does not refund this, or no longer")]
    RefundWindowClosed,
    #[error("the run is charged {charged}; refund at most that")]
    RefundExceedsCharge { charged: Credits },
    #[error("the plan refunds from {minimum} unused credits on, and there are {unused}")]
    RefundBelowMinimum { minimum: Credits, unused: Credits },
    #[error("the plan does not allow this transfer")]
    TransferNotAllowed,
    #[error("the plan allows transfers of {limit} credits in a window, and this one goes beyond it")]
    TransferLimit { limit: Credits },
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
            Self::CreditsTooFew(_) | Self::CreditsTooFine { .. } => "INVALID_CREDITS",
            Self::TooManyBlocks => "TOO_MANY_BLOCKS",
            Self::SubscriptionOver => "SUBSCRIPTION_OVER",
            Self::AddOnUnknown(_) => "ADDON_UNKNOWN",
            Self::OverridesRefused(_) | Self::OverridesTooLong => "INVALID_OVERRIDES",
            Self::TooManyCaps => "TOO_MANY_CAPS",
            Self::TooManySeats => "INVALID_SEATS",
            Self::ChargeNotReported => "CHARGE_NOT_REPORTED",
            Self::RefundWindowClosed => "REFUND_WINDOW_CLOSED",
            Self::RefundExceedsCharge { .. } => "REFUND_EXCEEDS_CHARGE",
            Self::RefundBelowMinimum { .. } => "REFUND_BELOW_MINIMUM",
            Self::TransferNotAllowed => "TRANSFER_NOT_ALLOWED",
            Self::TransferLimit { .. } => "TRANSFER_LIMIT",
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
        let scale = self.account.contract.as_ref().map(|contract| contract.playbook.credit.scale);
        amounts::fits(command, scale)?;
        let (mut entries, reply) = self.carry_out(command)?;
        let answered = request.map(|id| Answered { id: id.clone(), fingerprint, reply });
        let last = entries.pop();
        entries.into_iter().for_each(|what| self.emit(what));
        if let Some(last) = last {
            self.emit_answered(last, answered);
        }
        self.refresh = true;
        // What the change made due is done with it.
        self.pass_time(self.at);
        Ok(reply)
    }

    /// The entries that a command comes to, and its reply; nothing has happened yet.
    fn carry_out(&self, command: &Command) -> Result<(Vec<What>, Reply), AdminRefusal> {
        let one = |(what, reply)| (vec![what], reply);
        let done = |entries| (entries, Reply::Done);
        match command {
            Command::Subscribe { plan, zone, key, overlay } => {
                self.subscribe(plan, zone, *key, overlay).map(done)
            }
            Command::Suspend => Ok(done(vec![What::Suspended])),
            Command::Resume => Ok(done(vec![What::Resumed])),
            Command::SetOverageLimit { credits } => Ok(done(vec![What::OverageLimited(*credits)])),
            Command::Grant(ask) => self.grant(ask).map(one),
            Command::Void { block } => self.void(*block).map(one),
            Command::Purchase { pack, by_member, user } => {
                self.purchase(pack, *by_member, user.as_ref()).map(one)
            }
            Command::Award { user, incentive } => self.award(user, incentive).map(one),
            Command::Allocate { from, to, credits } => self.allocate(from, to, *credits).map(one),
            Command::ChangePlan { plan, now } => self.change_plan(plan, *now).map(done),
            Command::SetSeats { seats } => self.set_seats(*seats).map(done),
            Command::Cancel { now } => self.cancel(*now).map(done),
            Command::SetCap { cap } => self.set_cap(cap).map(done),
            Command::Refund { run, credits, expires_at } => self.refund(*run, *credits, *expires_at),
            Command::RefundPurchase { block } => self.refund_purchase(*block),
            Command::Transfer(ask) => self.transfer(ask),
        }
    }

    fn grant(&self, ask: &GrantAsk) -> Result<(What, Reply), AdminRefusal> {
        if ask.species.is_last_resort() || ask.species == Species::Rollover {
            return Err(AdminRefusal::InvalidSpecies(ask.species));
        }
        self.known_pool(&ask.pool)?;
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
        self.account.book.block(id).ok_or(AdminRefusal::GrantUnknown(id))?;
        // What rolled over is the grant's still.
        let line = self.account.line(id).into_iter().filter_map(|id| self.account.book.block(id));
        let moves: Vec<Move> = line
            .filter(|block| block.available.is_positive())
            .map(|block| Move {
                block: block.id,
                from: Column::Available,
                to: Column::Withdrawn,
                amount: block.available,
            })
            .collect();
        let amount = moves.iter().map(|step| step.amount).sum();
        Ok((What::Voided(moves), Reply::Withdrawn(amount)))
    }
}

/// What "the same request" compares: the command without what the ledger draws itself.
fn fingerprint(command: &Command) -> [u8; 16] {
    let text = match command {
        Command::Subscribe { plan, zone, overlay, .. } if **overlay == Overlay::default() => {
            format!("subscribe {plan} {zone}")
        }
        Command::Subscribe { plan, zone, overlay, .. } => format!("subscribe {plan} {zone} {overlay:?}"),
        other => format!("{other:?}"),
    };
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(blake3::hash(text.as_bytes()).as_bytes()) {
        *to = *from;
    }
    out
}
