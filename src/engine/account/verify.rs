//! The invariants of the whole account.

use super::state::Account;
use crate::credit::conservation;

impl Account {
    /// Conservation in every block, holds accounted for, caps and debt in range.
    pub fn verify(&self) -> Result<(), String> {
        conservation::check(&self.book, &self.elsewhere())
    }
}
