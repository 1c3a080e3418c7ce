//! Why a question could not be answered. A refusal is not a fault.

use thiserror::Error;

use crate::credit::State;
use crate::playbook::charge::ChargeFault;
use crate::types::{Credits, Name, ReservationId};

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    #[error("{0}")]
    InvalidQuantity(#[from] ChargeFault),
    #[error("no published playbook has the action `{action}`{}", did_you_mean(.nearest))]
    ActionUnknown { action: Name, nearest: Option<Name> },
    #[error("the ttl must be above zero")]
    InvalidTtl,
    #[error(
        "the family of this run is more than {} deep; authorise the run without a parent",
        crate::credit::settle::DEPTH_MAX
    )]
    TooDeep,
    #[error("no reservation {0} is known for this account")]
    ReservationUnknown(ReservationId),
    #[error("the reservation has ended: it is {state}, charged {charged}")]
    ReservationSettled { state: State, charged: Credits },
    #[error("`verified` is for actions with `trigger: outcome`, and `{0}` has another trigger")]
    WrongResultForTrigger(Name),
    #[error("this request id came before with another request: `{field}` differs")]
    RequestIdReused { field: &'static str },
    #[error("the account is not known to the ledger")]
    AccountUnknown,
    /// A bug, contained to this account.
    #[error("this account's state is broken, and its calls are refused: {0}")]
    Broken(String),
}

fn did_you_mean(nearest: &Option<Name>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

impl Fault {
    /// The reason in the error's details.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InvalidQuantity(ChargeFault::CompletionOutOfRange { .. }) => "INVALID_COMPLETION",
            Self::InvalidQuantity(_) => "INVALID_QUANTITY",
            Self::ActionUnknown { .. } => "ACTION_UNKNOWN",
            Self::InvalidTtl => "INVALID_TTL",
            Self::TooDeep => "INVALID_PARENT",
            Self::ReservationUnknown(_) => "RESERVATION_UNKNOWN",
            Self::ReservationSettled { .. } => "RESERVATION_SETTLED",
            Self::WrongResultForTrigger(_) => "WRONG_RESULT_FOR_TRIGGER",
            Self::RequestIdReused { .. } => "REQUEST_ID_REUSED",
            Self::AccountUnknown => "ACCOUNT_UNKNOWN",
            Self::Broken(_) => "ACCOUNT_BROKEN",
        }
    }
}
