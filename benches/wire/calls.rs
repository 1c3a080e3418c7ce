//! The messages: what an agent runtime sends for an ordinary run, about whom, and the playbook that prices it.

use bursar::grpc::proto::{ledger_v1, v1};

/// Every choice of the grammar made.
const WHOLE: &str = include_str!("whole.yaml");

/// Two plans that differ in their caps alone.
const SIMPLE: &str = include_str!("simple.yaml");

/// Runs of one account are of so many users in turn.
pub const USERS: u64 = 7;

/// The accounts around the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few of each plan.
    Small,
    /// So many that the sidecar knows; those that calls go round have 20 blocks and 5 caps each.
    Full { accounts: u64 },
}

impl Size {
    pub const FULL: Self = Self::Full { accounts: 100_000 };

    /// Accounts of each plan that calls go round.
    pub fn called(self) -> u64 {
        match self {
            Self::Small => 16,
            Self::Full { accounts } => accounts.min(1_000),
        }
    }

    /// Further accounts that the sidecar has met.
    pub fn idle(self) -> u64 {
        match self {
            Self::Small => 0,
            Self::Full { accounts } => accounts - self.called(),
        }
    }

    /// The plans whose accounts are called about. Where each has caps anyway, one is enough.
    pub fn plans(self) -> &'static [Plan] {
        match self {
            Self::Small => &[Plan::Capped, Plan::Plain],
            Self::Full { .. } => &[Plan::Plain],
        }
    }

    pub fn playbook(self) -> &'static str {
        match self {
            Self::Small => SIMPLE,
            Self::Full { .. } => WHOLE,
        }
    }
}

/// Whose calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Plain,
    Capped,
}

impl Plan {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Capped => "capped",
        }
    }

    pub fn account(self, number: u64) -> String {
        format!("{}-{number:04}", self.name())
    }
}

/// The call numbered `number`: no two have the same request id.
pub fn authorize(account: String, number: u64) -> v1::AuthorizeRequest {
    v1::AuthorizeRequest {
        account,
        subject: Some(v1::Subject {
            team: "support".to_owned(),
            user: user(number),
            agent: "triage".to_owned(),
        }),
        action: "ticket.answer".to_owned(),
        quantity: Some("1.5".to_owned()),
        request_id: format!("call-{number:012}"),
        ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..v1::AuthorizeRequest::default()
    }
}

pub fn user(number: u64) -> String {
    format!("user-{}", number % USERS)
}

/// An account's subscription; the same again is the same one.
pub fn subscribe(account: String, plan: Plan) -> ledger_v1::SubscribeRequest {
    ledger_v1::SubscribeRequest {
        request_id: format!("subscribe-{account}"),
        account,
        plan: plan.name().to_owned(),
        ..ledger_v1::SubscribeRequest::default()
    }
}

pub fn commit(reservation: String) -> v1::CommitRequest {
    v1::CommitRequest { reservation, quantity: Some("1".to_owned()), ..v1::CommitRequest::default() }
}
