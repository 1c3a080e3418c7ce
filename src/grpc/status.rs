//! Which status answers a fault: one table, each line argued for the caller.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::engine::Fault;

/// Of every error's details.
const DOMAIN: &str = "bursar";

/// The status that answers a fault of the engine.
pub fn of_fault(fault: &Fault) -> Status {
    let (code, field) = match fault {
        // The caller must change the call itself.
        Fault::InvalidQuantity(_) => (Code::InvalidArgument, Some("quantity")),
        Fault::InvalidTtl => (Code::InvalidArgument, Some("ttl")),
        Fault::TooDeep => (Code::InvalidArgument, Some("parent")),
        Fault::ActionUnknown { .. } | Fault::ReservationUnknown(_) | Fault::AccountUnknown => {
            (Code::NotFound, None)
        }
        Fault::ReservationSettled { .. } | Fault::WrongResultForTrigger(_) => {
            (Code::FailedPrecondition, None)
        }
        // A bug here, contained to one account.
        Fault::Broken(_) => (Code::Internal, None),
        Fault::RequestIdReused { .. } => (Code::AlreadyExists, None),
    };
    let metadata: Vec<(String, String)> = match fault {
        Fault::ReservationSettled { state, charged } => {
            vec![("state".to_owned(), state.to_string()), ("charged".to_owned(), charged.to_string())]
        }
        Fault::RequestIdReused { field } => vec![("field".to_owned(), (*field).to_owned())],
        _ => Vec::new(),
    };
    let what = fault.to_string();
    let mut details = ErrorDetails::with_error_info(
        fault.reason(),
        DOMAIN,
        metadata.into_iter().collect::<std::collections::HashMap<_, _>>(),
    );
    if let Some(field) = field {
        details.add_bad_request_violation(field, &what);
    }
    Status::with_error_details(code, what, details)
}
