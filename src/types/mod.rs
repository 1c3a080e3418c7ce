//! The vocabulary of values: amounts, ids, instants, lengths of time. No rule lives here.
//!
//! | file | what |
//! |---|---|
//! | `amount` | `Money` and `Quantity`: exact decimals, bounded at the door |
//! | `credits` | `Credits`: a whole number of billionths |
//! | `ratio` | exact fractions for pricing, rounded once by a named rule |
//! | `percent` | shares such as `15%` |
//! | `time` | `Timestamp` and `Length` |
//! | `calendar` | civil periods and windows in an account's time zone |
//! | `id` | parsed names and ids |
//! | `by_id` | a map by reservation id |
//! | `cbor` | how values are put into bytes |
//! | `planted` | bugs for the simulator to find; no release has them |

pub mod amount;
pub mod by_id;
pub mod calendar;
pub mod cbor;
pub mod credits;
pub mod id;
pub mod percent;
pub mod planted;
pub mod ratio;
pub mod time;

pub use amount::{AmountError, Money, Quantity};
pub use by_id::ById;
pub use credits::Credits;
pub use id::{AccountId, BlockId, Epoch, IdError, LeaseId, Name, RequestId, ReservationId, SidecarId};
pub use percent::Percent;
pub use planted::Planted;
pub use ratio::{Ratio, Rounding};
pub use time::{Length, Timestamp};
