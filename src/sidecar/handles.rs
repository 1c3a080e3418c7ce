//! Handles at a sidecar: opened with the account's key, sealed with it.

use super::slot::Desk;
use crate::credit::Run;
use crate::engine::call::Authorize;
use crate::engine::handle::{Handle, HandleError};
use crate::grpc::entitlement_api::{Given, Refused};
use crate::lease::terms::HandleKey;
use crate::playbook::charge::Quantities;
use crate::types::{AccountId, ReservationId, SidecarId, Timestamp};

/// A handle to be: sealed once no lock is held.
#[derive(Debug)]
pub struct ToSeal {
    handle: Handle,
    key: HandleKey,
}

impl ToSeal {
    pub fn seal(self) -> String {
        self.handle.seal(&self.key)
    }
}

/// Opens a handle of this account.
pub fn open(
    given: &Given,
    account: &AccountId,
    key: &HandleKey,
    field: &'static str,
) -> Result<Handle, Refused> {
    let refused = |what| Refused::Handle { field, what };
    let handle = Handle::open(&given.text, key).map_err(|why| match why {
        HandleError::Malformed => refused("is not a handle that `Authorize` answered; pass it on as it was"),
        HandleError::NotAuthentic => {
            refused("was not made for this account, or was altered; pass it on as `Authorize` answered it")
        }
    })?;
    if handle.account == *account {
        Ok(handle)
    } else {
        Err(refused("is of another account than this call; name a run of the same account"))
    }
}

/// The handle of a run that this wallet knows.
pub fn of_known(desk: &Desk<'_, '_>, id: ReservationId, settler: SidecarId) -> Option<ToSeal> {
    let wallet = &desk.slot.wallet;
    let key = wallet.terms.as_ref()?.key;
    let handle = match wallet.book.runs.get(&id) {
        Some(run) => Handle::of(run, &wallet.account, settler, key.id),
        None => {
            let ended = wallet.book.finals.get(&id)?;
            let times = (ended.authorized_at, ended.expires_at);
            Handle::new(id, &ended.run, ended.version, times, &wallet.account, settler, key.id)
        }
    };
    Some(ToSeal { handle, key })
}

/// The handle of a run that the ledger settles, from what was asked.
pub fn of_asked(
    desk: &Desk<'_, '_>,
    call: &Authorize,
    version: u32,
    times: (Timestamp, Timestamp),
    settler: SidecarId,
) -> Option<ToSeal> {
    let wallet = &desk.slot.wallet;
    let key = wallet.terms.as_ref()?.key;
    let quantities = call.quantities.clone().or_else(|| {
        let (_, terms) = desk.here.playbooks.terms(version, &call.action, &call.dimensions)?;
        Some(terms.default_quantities())
    });
    let run = Run {
        action: call.action.clone(),
        subject: call.subject.clone(),
        quantities: quantities.unwrap_or(Quantities::Meters(Vec::new())),
        dimensions: call.dimensions.clone(),
        run_id: call.run_id.clone(),
        parent: call.parent,
        retry_of: call.retry_of,
    };
    let handle = Handle::new(call.id, &run, version, times, &wallet.account, settler, key.id);
    Some(ToSeal { handle, key })
}
