//! What a sidecar asks of the ledger for one account, and what the ledger grants.

use minicbor::{Decode, Encode};

use super::terms::AccountTerms;
use crate::credit::cap::Need;
use crate::credit::{Block, CapKey, PoolId, Subject};
use crate::types::{BlockId, Credits, LeaseId, Timestamp};

/// A request for a lease, for more of it, or (with nothing needed) for more time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Ask {
    /// The lease in hand and how many grants of it came through; a grant beyond these was lost on its way.
    #[n(0)]
    pub lease: Option<(LeaseId, u32)>,
    #[n(1)]
    pub credits: Credits,
    /// The need is of a basic action.
    #[n(2)]
    pub basic: bool,
    /// Take what there is, even where it is not enough: the work is done already.
    #[n(3)]
    pub partial: bool,
    #[n(4)]
    pub caps: Vec<Need>,
    /// What the sidecar's runs used of the account over the last lease, in credits.
    #[n(5)]
    pub burn: Credits,
    #[n(6)]
    pub totals: LeaseTotals,
    /// Rises with each ask of one start about an account. One that was given up and arrives after a later one is no
    /// ask any more: what it says of grants that came through is out of date. Earlier builds do not send it: 0.
    #[cbor(n(7), default)]
    pub number: u64,
    /// The largest recent run.
    #[cbor(n(8), default)]
    pub largest: Credits,
    /// Whose run it is: it says which pools pay.
    #[cbor(n(9), default)]
    pub subject: Subject,
    /// What the run would draw from later pools of its path while earlier ones may have more.
    #[cbor(n(10), default)]
    pub prior: Credits,
    /// A run waits for it: to make it fit, a pack may be bought.
    #[cbor(n(11), default)]
    pub buys: bool,
    /// Counters of windows that begin while the lease lasts, with what one run needs of each: room there is leased where
    /// there is plenty, and nobody is asked for it.
    #[cbor(n(20), default)]
    pub ahead: Vec<Need>,
}

impl Ask {
    /// Nothing is needed but to know the account: once it is known, the call that waits has still to be tried.
    pub fn is_introduction(&self) -> bool {
        self.lease.is_none() && self.credits.is_zero() && self.prior.is_zero() && self.caps.is_empty()
    }

    pub fn needs(&self) -> Needs {
        Needs { credits: self.credits, prior: self.prior, caps: self.caps.clone(), partial: self.partial }
    }
}

/// What was asked for, to be held against what is lacking once the answer is here.
#[derive(Clone, Debug)]
pub struct Needs {
    credits: Credits,
    prior: Credits,
    caps: Vec<Need>,
    partial: bool,
}

impl Needs {
    /// Whether the ledger has said all there is to say: it was asked for what `ask` wants, and gave nothing or, of work
    /// that is done already, what there is. What is lacking for another reason (idle credits went back meanwhile) is
    /// asked for once more.
    pub fn are_settled(&self, grant: &Grant, ask: &Ask) -> bool {
        let gave_nothing = grant.slices.is_empty() && grant.rooms.is_empty();
        let asked_for = |need: &Need| self.caps.iter().any(|asked| asked.key == need.key);
        (self.partial || gave_nothing)
            && ask.credits <= self.credits
            && ask.prior <= self.prior
            && ask.caps.iter().all(asked_for)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    #[n(0)]
    pub lease: LeaseId,
    /// The number of this grant within the lease, from 1.
    #[n(1)]
    pub number: u32,
    /// Slices: blocks with what is leased of them as granted and available.
    #[n(2)]
    pub slices: Vec<Block>,
    #[n(3)]
    pub rooms: Vec<Room>,
    #[n(4)]
    pub terms: AccountTerms,
    /// How long the lease lasts, in microseconds, counted by its holder from before it asked.
    #[n(5)]
    pub lasts: i64,
    /// Credits left at the ledger that count as balance, and last resorts but `basic`.
    #[n(6)]
    pub rest: (Credits, Credits),
    /// Room left at the ledger in the counters asked for.
    #[n(7)]
    pub rest_caps: Vec<(CapKey, Credits)>,
    /// Credits that unreachable or sealed sidecars hold, and until when.
    #[n(8)]
    pub out_of_reach: Option<(Credits, Timestamp)>,
    /// The ledger's clock.
    #[n(9)]
    pub at: Timestamp,
    /// The most that this sidecar should hold of each window's emergency credits; `None` where the plan has none.
    #[cbor(n(10), default)]
    pub emergency: Option<Credits>,
    /// What was asked for is scarce: nothing of it is leased, and the ledger decides runs that need it.
    #[cbor(n(11), default)]
    pub scarce: bool,
    /// Credits left at the ledger in the pools of the path but the account's own.
    #[cbor(n(12), default)]
    pub rest_pools: Vec<(PoolId, Credits)>,
    /// Pools of the path of which nobody but the asker has anything.
    #[cbor(n(13), default)]
    pub dry: Vec<PoolId>,
}

/// Counters that one ask leases ahead at most: at a window's end, further ones are asked for as runs need them.
pub const AHEAD_MAX: usize = 64;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LeaseTotals {
    #[n(0)]
    pub held: Vec<(BlockId, Credits)>,
    #[n(1)]
    pub caps: Vec<(CapKey, CapTotal)>,
}

/// Use of one counter at a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CapTotal {
    #[n(0)]
    pub held: Credits,
    #[n(1)]
    pub spent: Credits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_of_an_earlier_build_is_read() {
        let bytes = minicbor::to_vec(Ask::default()).unwrap();
        // An array of 21 in one byte; what follows the seventh element came later.
        assert_eq!(bytes[0], 0x95);
        let mut decoder = minicbor::Decoder::new(&bytes);
        decoder.array().unwrap();
        (0..7).for_each(|_| decoder.skip().unwrap());
        // The same, as it was before asks were numbered: an array of seven.
        let mut earlier = bytes[..decoder.position()].to_vec();
        earlier[0] = 0x87;
        assert_eq!(minicbor::decode::<Ask>(&earlier).unwrap(), Ask::default());
    }
}
