//! What a sidecar asks of the ledger for one account, and what the ledger grants.

use minicbor::{Decode, Encode};

use super::terms::AccountTerms;
use crate::credit::cap::Need;
use crate::credit::{Block, CapKey};
use crate::types::{BlockId, Credits, LeaseId, Timestamp};

/// A request for a lease, for more of it, or (with nothing needed) for more time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The lease in hand and how many grants of it came through; a grant beyond these was lost on its way.
    pub lease: Option<(LeaseId, u32)>,
    pub credits: Credits,
    /// The need is of a basic action.
    pub basic: bool,
    /// Take what there is, even where it is not enough: the work is done already.
    pub partial: bool,
    pub caps: Vec<Need>,
    /// What the sidecar's runs used of the account over the last lease, in credits.
    pub burn: Credits,
    pub totals: LeaseTotals,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub lease: LeaseId,
    /// The number of this grant within the lease, from 1.
    pub number: u32,
    /// Slices: blocks with what is leased of them as granted and available.
    pub slices: Vec<Block>,
    pub rooms: Vec<Room>,
    pub terms: AccountTerms,
    /// How long the lease lasts, in microseconds, counted by its holder from before it asked.
    pub lasts: i64,
    /// Credits left at the ledger that count as balance, and last resorts but `basic`.
    pub rest: (Credits, Credits),
    /// Room left at the ledger in the counters asked for.
    pub rest_caps: Vec<(CapKey, Credits)>,
    /// Credits that unreachable or sealed sidecars hold, and until when.
    pub out_of_reach: Option<(Credits, Timestamp)>,
    /// The ledger's clock.
    pub at: Timestamp,
}

/// Room of one counter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Room {
    #[n(0)]
    pub key: CapKey,
    #[n(1)]
    pub amount: Credits,
    #[n(2)]
    pub ends_at: Option<Timestamp>,
}

/// What runs hold of a lease right now: running totals, so that the ledger knows the true balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTotals {
    pub held: Vec<(BlockId, Credits)>,
    pub caps: Vec<(CapKey, CapTotal)>,
}

/// Use of one counter at a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapTotal {
    pub held: Credits,
    pub spent: Credits,
}
