//! What a run may do past the lease while the ledger can't be reached: the plan's offline mode answers for the ledger, for
//! as long as the plan says. What this sidecar knows by itself (a cap that its own runs fill) still refuses.

use super::frame::Frame;
use super::judge::Judged;
use super::quote::Quote;
use crate::credit::draw::{self, Emergency, Limits};
use crate::credit::{Decision, Reason};
use crate::playbook::offline::OfflineMode;
use crate::types::Timestamp;

/// The ledger has been away for longer than the plan's `offline.for`: nothing is allowed any more.
pub fn is_over(frame: &Frame<'_>) -> bool {
    let lasts = frame.contract.plan.offline.lasts.approximate_micros();
    frame.cut().is_some_and(|cut| frame.at >= cut.since.plus_micros(lasts))
}

/// What a new run may draw: emergency credits once all others are used up, where the plan leased them for this.
pub fn limits<'q>(frame: &Frame<'_>, quote: &'q Quote<'_>) -> Limits<'q> {
    let emergency = match (frame.cut(), frame.contract.plan.offline.mode) {
        (Some(_), OfflineMode::Emergency(_)) => Emergency::Last,
        _ => Emergency::Never,
    };
    Limits { emergency, ..frame.limits(quote.terms.basic, &quote.path, &quote.run.subject) }
}

/// Turns a refusal for want of the ledger's word into what the offline mode says.
pub fn relent(frame: &Frame<'_>, quote: &Quote<'_>, judged: &mut Judged) {
    let wants_ledger = |judged: &Judged| {
        judged.refusal.as_ref().is_some_and(|refusal| refusal.reason == Reason::LedgerUnreachable)
    };
    if frame.cut().is_none() || is_over(frame) || !wants_ledger(judged) {
        return;
    }
    let decision = match frame.contract.plan.offline.mode {
        OfflineMode::Basic if quote.terms.basic => Decision::AllowedDegraded,
        OfflineMode::Allow => Decision::Allowed,
        OfflineMode::Emergency(_) if quote.parent.is_none() => {
            let limits = frame.limits(false, &quote.path, &quote.run.subject);
            let limits = Limits { emergency: Emergency::Alone, ..limits };
            let drawn = draw::draw(&frame.book.pools, quote.amount, limits);
            if drawn.missing.is_positive() {
                return;
            }
            judged.drawn = drawn;
            Decision::AllowedOverage
        }
        OfflineMode::Deny | OfflineMode::Basic | OfflineMode::Emergency(_) => return,
    };
    judged.refusal = None;
    judged.past_lease = Some(decision);
}

/// A run that draws on a lease of a cut-off sidecar ends before the ledger counts on that lease again.
pub fn latest_end(frame: &Frame<'_>) -> Option<Timestamp> {
    let reclaim = frame.contract.plan.offline.reclaim_after.approximate_micros();
    Some(frame.cut()?.lease_ends?.plus_micros(reclaim))
}
