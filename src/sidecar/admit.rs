//! What a call must pass at a sidecar before its wallet is asked.

use super::handles;
use super::slot::Desk;
use crate::engine::Fault;
use crate::engine::handle::Handle;
use crate::engine::wallet::Link;
use crate::grpc::entitlement_api::{Given, Refused};
use crate::types::ReservationId;

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
