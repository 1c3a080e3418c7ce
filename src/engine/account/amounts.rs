//! Which amounts an administrator may move: more than nothing, and no finer than the account's balance.

use super::administer::{AdminRefusal, Command};
use crate::types::Credits;

/// `scale`: decimal places of the balance; `None` where no plan says it yet.
pub(super) fn fits(command: &Command, scale: Option<u32>) -> Result<(), AdminRefusal> {
    let (credits, or_nothing) = match command {
        Command::Grant(ask) => (ask.credits, false),
        Command::Allocate { credits, .. } | Command::Refund { credits: Some(credits), .. } => {
            (*credits, false)
        }
        Command::Transfer(ask) => (ask.credits, false),
        Command::SetOverageLimit { credits } => (*credits, true),
        _ => return Ok(()),
    };
    if credits.is_negative() || (credits.is_zero() && !or_nothing) {
        return Err(AdminRefusal::CreditsTooFew(credits));
    }
    match scale {
        Some(scale) if places(credits) > scale => Err(AdminRefusal::CreditsTooFine { credits, scale }),
        _ => Ok(()),
    }
}

fn places(credits: Credits) -> u32 {
    credits.decimal().normalize().scale()
}
