//! What the auditor knows must not have been refused.

use super::auditor::{Asked, Auditor, PARALLEL, USER, price};
use super::turn::Wish;
use crate::credit::Reason;
use crate::types::{Credits, Name, ReservationId};

impl Auditor {
    /// Whether what was refused would have fitted, whatever else was under way.
    pub(super) fn false_refusal(
        &self,
        asked: &Asked,
        reason: Reason,
        cap: Option<&Name>,
        (out, room_is_out): (Credits, bool),
    ) -> Option<String> {
        let Wish::Authorize(call) = &asked.wish else { return None };
        let money = self.money.get(&asked.account).filter(|money| !money.lapses)?;
        if call.parent.is_some() || call.retry_of.is_some() {
            return None;
        }
        let wanted = price(&call.action, call.quantities.as_ref());
        // What a recall brings goes to whoever asked first: one that came later to the ledger may not have it.
        let came = asked.came.as_ref();
        let later = |id: &ReservationId| came.is_some() && self.arrivals.get(id) > came;
        let others = || self.runs.iter().filter(|(id, run)| **id != call.id && run.account == asked.account);
        let runs = || others().filter(|(id, _)| !later(id));
        let fits = match (reason, cap.map(Name::as_str)) {
            (Reason::CreditsExhausted | Reason::BasicOnly, _) => {
                let used: Credits = runs().map(|(_, run)| run.most(asked.at)).sum();
                used + out + wanted <= money.credits + money.overage
            }
            (Reason::CapReached, Some("parallel")) => {
                let open = runs().filter(|(_, run)| run.may_be_root && run.may_be_open(asked.at)).count();
                !room_is_out && open < PARALLEL
            }
            (Reason::CapReached, Some("user")) => {
                let user = call.subject.user.as_ref();
                let of_user = runs().filter(|(_, run)| user.is_some_and(|user| run.users.contains(user)));
                let used: Credits = of_user.map(|(_, run)| run.most(asked.at)).sum();
                !room_is_out && used + wanted <= Credits::whole(USER)
            }
            _ => false,
        };
        fits.then(|| {
            format!(
                "account {}: {wanted} was refused, {}, and would have fitted",
                asked.account,
                reason.word()
            )
        })
    }
}
