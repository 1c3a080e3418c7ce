//! Which runs the account itself should hold: those that outlive a minute, are extended or await an outcome, with their
//! whole family, so that a family is never split.

use crate::credit::{Book, Reservation};
use crate::types::{Length, ReservationId, Timestamp};

/// A reservation that lives longer than this is reported.
pub const OUTLIVES: Length = Length::minutes(1);

/// So long before a period's end runs are reported that hold what rolls over with its hold or comes off the next allowance:
/// long enough for the report to arrive, too short for many runs to be open in it.
pub const AHEAD: Length = Length::seconds(5);

/// When a run authorised at `at` outlives its minute.
pub fn due(at: Timestamp) -> Timestamp {
    at.plus_micros(OUTLIVES.approximate_micros())
}

/// The open runs of a family, the root first: parents stand before their children.
pub fn family(book: &Book, root: ReservationId) -> Vec<Reservation> {
    let mut members: Vec<_> = book
        .family(root)
        .into_iter()
        .filter_map(|id| book.runs.get(&id))
        .map(|run| (**run).clone())
        .collect();
    members.sort_by_key(|run| (book.ancestors(run.run.parent).len(), run.id));
    members
}
