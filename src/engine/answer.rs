//! What is answered about a run.

use minicbor::{Decode, Encode};

use crate::credit::hold::{self, Draw};
use crate::credit::{Decision, Final, Reason, Reservation, State};
use crate::playbook::draw_order::Species;
use crate::playbook::overage::Link;
use crate::types::{Credits, Name, ReservationId, Timestamp};

/// What follows the credits of a plan once they are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Next {
    #[n(0)]
    Deny,
    #[n(1)]
    Degrade,
    #[n(2)]
    Overage,
    #[n(3)]
    Borrow,
    #[n(4)]
    TopUp,
}

impl Next {
    /// What a plan's overage chain begins with.
    pub fn after(chain: &[Link]) -> Self {
        match chain.first() {
            None => Self::Deny,
            Some(Link::TopUp { .. }) => Self::TopUp,
            Some(Link::Borrow { .. }) => Self::Borrow,
            Some(Link::Soft { .. }) => Self::Overage,
            Some(Link::Degraded { .. }) => Self::Degrade,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AuthorizeAnswer {
    #[n(0)]
    pub decision: Decision,
    #[n(1)]
    pub reason: Option<Reason>,
    /// The cap that refused.
    #[n(2)]
    pub cap: Option<Name>,
    /// `None` where nothing was reserved.
    #[n(3)]
    pub reservation: Option<ReservationId>,
    #[n(4)]
    pub held: Credits,
    #[n(5)]
    pub charged: Credits,
    /// Of what is held or charged.
    #[n(6)]
    pub paid_by: Vec<(Species, Credits)>,
    /// As far as is known here, the next run of this size would be refused or degraded.
    #[n(7)]
    pub is_final: bool,
    #[n(8)]
    pub next: Next,
    /// What the run's pools could still pay, as far as is known here.
    #[n(9)]
    pub remaining: Credits,
    #[n(10)]
    pub as_of: Timestamp,
    #[n(11)]
    pub expires_at: Option<Timestamp>,
    #[n(12)]
    pub soft_caps_reached: Vec<Name>,
    /// False in observe mode: then the decision is `ALLOWED` and `would_be` says what it would have been.
    #[n(13)]
    pub enforced: bool,
    #[n(14)]
    pub would_be: Option<(Decision, Option<Reason>)>,
    /// When a refusal may end.
    #[n(15)]
    pub retry_at: Option<Timestamp>,
    #[n(16)]
    pub version: u32,
    /// Credits that unreachable or sealed sidecars hold, and until when.
    #[n(17)]
    pub out_of_reach: Option<(Credits, Timestamp)>,
    /// Granted past the lease, by the plan's offline mode: answered once it is on disk.
    #[cbor(n(18), default)]
    pub past_lease: bool,
}

/// What `progress` answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ProgressAnswer {
    #[n(0)]
    pub state: State,
    #[n(1)]
    pub decision: Decision,
    #[n(2)]
    pub reason: Option<Reason>,
    #[n(3)]
    pub cap: Option<Name>,
    #[n(4)]
    pub held: Credits,
    #[n(5)]
    pub charged: Credits,
    #[n(6)]
    pub paid_by: Vec<(Species, Credits)>,
    #[n(7)]
    pub debt: Credits,
    /// The run must end before this instant.
    #[n(8)]
    pub stop_by: Timestamp,
    /// The call was kept on disk for a settler out of reach; its figures are this sidecar's own.
    #[n(9)]
    pub provisional: bool,
    /// What the run's pools lack for what was asked.
    #[cbor(n(10), default)]
    pub missing: Credits,
}

impl ProgressAnswer {
    /// Nobody here knows what the run holds, and whoever does is out of reach: it must end within that.
    pub fn within_hold(stop_by: Timestamp) -> Self {
        Self {
            state: State::Held,
            decision: Decision::Denied,
            reason: Some(Reason::LedgerUnreachable),
            cap: None,
            held: Credits::ZERO,
            charged: Credits::ZERO,
            paid_by: Vec::new(),
            debt: Credits::ZERO,
            stop_by,
            provisional: true,
            missing: Credits::ZERO,
        }
    }
}

/// The state of a run, in totals: what `commit`, `release`, `record` and `state` answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RunAnswer {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub state: State,
    #[n(2)]
    pub held: Credits,
    #[n(3)]
    pub charged: Credits,
    #[n(4)]
    pub paid_by: Vec<(Species, Credits)>,
    #[n(5)]
    pub debt: Credits,
    #[n(6)]
    pub expires_at: Option<Timestamp>,
    #[n(7)]
    pub provisional: bool,
    /// What authorise would have said (`record` only).
    #[n(8)]
    pub would_be: Option<(Decision, Option<Reason>)>,
}

impl RunAnswer {
    pub fn of_open(run: &Reservation) -> Self {
        Self {
            id: run.id,
            state: run.state,
            held: run.held_total(),
            charged: run.charged(),
            paid_by: paid_by(&run.spent),
            debt: run.debt,
            expires_at: Some(run.expires_at),
            provisional: false,
            would_be: None,
        }
    }

    pub fn of_final(id: ReservationId, ended: &Final) -> Self {
        Self {
            id,
            state: ended.state,
            held: Credits::ZERO,
            charged: ended.charged(),
            paid_by: paid_by(&ended.spent),
            debt: ended.debt,
            expires_at: None,
            provisional: ended.provisional.is_some(),
            would_be: None,
        }
    }
}

pub fn paid_by(draws: &[Draw]) -> Vec<(Species, Credits)> {
    hold::by_species(draws.iter())
}
