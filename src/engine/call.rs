//! What may be asked about a run, already parsed.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::credit::Subject;
use crate::playbook::charge::{Quantities, RunResult};
use crate::types::{Name, Quantity, RequestId, ReservationId, SidecarId, Timestamp};

/// May this run proceed?
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Authorize {
    /// The reservation's id: a keyed hash of the request id, or drawn by the caller's sidecar.
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub action: Name,
    #[n(2)]
    pub subject: Subject,
    #[n(3)]
    pub quantities: Option<Quantities>,
    #[n(4)]
    pub dimensions: BTreeMap<Name, Name>,
    #[n(5)]
    pub run_id: Option<Name>,
    #[n(6)]
    pub parent: Option<ReservationId>,
    #[n(7)]
    pub retry_of: Option<ReservationId>,
    /// Microseconds; left out, the action's `reserve.ttl`.
    #[n(8)]
    pub ttl: Option<i64>,
    /// Decide without reserving.
    #[n(9)]
    pub validate_only: bool,
}

/// How a long run is doing: totals so far, what to hold ahead, a new time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Progress {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub quantities: Option<Quantities>,
    #[n(2)]
    pub ahead: Option<Quantities>,
    /// Microseconds from now.
    #[n(3)]
    pub ttl: Option<i64>,
}

/// A run's result and total use.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Commit {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub result: RunResult,
    #[n(2)]
    pub quantities: Option<Quantities>,
    #[n(3)]
    pub completion: Option<Quantity>,
    #[n(4)]
    pub verified: bool,
    #[n(5)]
    pub request_id: Option<RequestId>,
    /// Whoever else settles the run by its handle: this answer is provisional then, and that one's own word replaces it.
    #[n(6)]
    pub provisional: Option<SidecarId>,
    /// When its caller was told that it is accepted, where it is settled later than that.
    #[n(7)]
    pub accepted_at: Option<Timestamp>,
}

impl Commit {
    /// A run's result and nothing else: its use is what was told or reserved before.
    pub fn new(id: ReservationId, result: RunResult) -> Self {
        Self {
            id,
            result,
            quantities: None,
            completion: None,
            verified: false,
            request_id: None,
            provisional: None,
            accepted_at: None,
        }
    }
}

/// Gives a reservation back unused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Release {
    #[n(0)]
    pub id: ReservationId,
    /// As of a commit.
    #[n(1)]
    pub accepted_at: Option<Timestamp>,
}

/// Charges work that was done without a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    #[n(0)]
    pub authorize: Authorize,
    #[n(1)]
    pub commit: Commit,
}
