//! What a call must pass at a sidecar before its wallet is asked.

use super::handles;
use super::slot::Desk;
use crate::engine::Fault;
use crate::engine::call::Authorize;
use crate::engine::handle::Handle;
use crate::engine::wallet::Link;
use crate::grpc::entitlement_api::{Given, Refused};
use crate::playbook::action::Terms;
use crate::types::{ReservationId, calendar};

/// Why a handle of an account that nobody subscribed is not taken.
const NO_ACCOUNT: &str = "names an account that the ledger does not know";

/// Opens the handle of a call; `None`: the account's key is not known here yet, and the ledger is to be asked.
pub fn opened(desk: &Desk<'_, '_>, given: &Given, link: Link) -> Result<Option<Handle>, Refused> {
    match (&desk.slot.wallet.terms, link) {
        (Some(terms), _) => {
            handles::open(given, &desk.slot.wallet.account, &terms.key, "reservation").map(Some)
        }
        (None, Link::Untried) => Ok(None),
        (None, Link::Asked) => Err(Refused::Handle { field: "reservation", what: NO_ACCOUNT }),
        (None, Link::Unreachable) => {
            Err(Refused::NotReady("the ledger does not answer, and this account's key is not known here yet"))
        }
    }
}

/// Whether the ledger settles this run, and is to be asked.
pub fn is_elsewhere(desk: &Desk<'_, '_>, id: ReservationId, link: Link) -> Result<bool, Refused> {
    match (desk.slot.is_elsewhere(id), link) {
        (false, _) => Ok(false),
        (true, Link::Untried) => Ok(true),
        (true, _) => {
            Err(Refused::NotReady("the ledger settles the run of this request id, and does not answer"))
        }
    }
}

/// A run's time is within what its action allows.
pub fn ttl_fits(desk: &Desk<'_, '_>, call: &Authorize) -> Result<(), Refused> {
    let (Some(ttl), Some(contract)) = (call.ttl, &desk.slot.wallet.contract) else { return Ok(()) };
    match contract.playbook.actions.get(&call.action) {
        Some(action) => within_longest(desk, ttl, action.terms_for(&call.dimensions)),
        None => Ok(()),
    }
}

pub fn within_longest(desk: &Desk<'_, '_>, ttl: i64, terms: &Terms) -> Result<(), Refused> {
    let Some(contract) = &desk.slot.wallet.contract else { return Ok(()) };
    let latest = calendar::plus(desk.here.at, terms.longest, &contract.zone);
    if desk.here.at.plus_micros(ttl) > latest {
        return Err(Refused::TtlTooLong { longest: terms.longest });
    }
    Ok(())
}

/// Work that cannot be charged is not taken silently.
pub fn taken(desk: &Desk<'_, '_>, link: Link) -> Result<(), Refused> {
    match link {
        _ if desk.slot.wallet.contract.is_some() => Ok(()),
        Link::Untried => Ok(()),
        Link::Asked => Err(Fault::AccountUnknown.into()),
        Link::Unreachable => {
            Err(Refused::NotReady("the ledger does not answer, and this account is not known here yet"))
        }
    }
}
