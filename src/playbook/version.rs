//! C16: how long accounts keep a version, and which version is in force.

use crate::types::{Length, Timestamp};

/// How long accounts that have a version keep it when a later one takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grandfather {
    None,
    /// Until the next term starts; until the next period, where there is no term.
    #[default]
    UntilRenewal,
    Forever,
    For(Length),
}

impl From<Length> for Grandfather {
    fn from(length: Length) -> Self {
        Self::For(length)
    }
}

/// From when a version is in force, that was published at `published_at`: never before that.
pub fn in_force_from(effective: Option<Timestamp>, published_at: Timestamp) -> Timestamp {
    effective.map_or(published_at, |effective| effective.max(published_at))
}
