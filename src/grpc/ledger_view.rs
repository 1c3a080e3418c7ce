//! What people are shown and told by a ledger, in domain values.

use std::collections::BTreeMap;

use crate::credit::invoice::LineKind;
use crate::credit::{CapKey, PoolId};
use crate::engine::account::entry_contract::Pending;
use crate::engine::account::{Balance, Reply};
use crate::engine::answer::Next;
use crate::playbook::cap::Scope;
use crate::playbook::draw_order::Species;
use crate::playbook::finding::Choice;
use crate::playbook::overlay::Overlay;
use crate::types::calendar::Stretch;
use crate::types::{
    AccountId, BlockId, Credits, Money, Name, RequestId, ReservationId, SidecarId, Timestamp,
};

/// One account, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    pub id: AccountId,
    pub plan: Name,
    pub version: u32,
    pub suspended: bool,
    /// An IANA name.
    pub zone: String,
    pub subscribed_at: Timestamp,
    pub period: Stretch,
    pub overage_limit: Option<Credits>,
    pub broken: bool,
    /// What it has beside its plan, or in its place.
    pub overlay: Overlay,
    /// What is to happen at the period's or the term's end.
    pub pending: Pending,
}

/// An administrator's write, as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administered {
    pub reply: Reply,
    pub account: AccountView,
    /// When a granted block ends; `None` also where nothing was granted.
    pub ends_at: Option<Timestamp>,
    /// The currency of the account's playbook.
    pub currency: String,
}

/// The true balance, over ledger and leases together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceView {
    pub balance: Balance,
    /// Spent from overage in this period.
    pub overage: Credits,
    /// What leases hold and no run.
    pub leased: Credits,
    /// What nobody can reach now, and until when.
    pub out_of_reach: Option<(Credits, Timestamp)>,
    pub caps: Vec<CapView>,
    /// What follows the available credits.
    pub next: Next,
}

/// One counter of a cap; amounts in credits or runs, as the cap measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapView {
    pub key: CapKey,
    pub per: Scope,
    pub limit: Credits,
    /// Spent and held, over all sidecars.
    pub used: Credits,
    pub soft: bool,
    pub window_ends: Option<Timestamp>,
}

/// What is to be billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceLine {
    /// From 1, in the order in which they came about.
    pub number: u64,
    pub kind: LineKind,
    pub credits: Credits,
    /// Below zero where money goes back.
    pub amount: Money,
    pub currency: String,
    /// When it came about; `None`: at the end of what it covers.
    pub at: Option<Timestamp>,
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// The plan, add-on or pack.
    pub what: Option<Name>,
}

/// What usage is grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageBy {
    Nothing,
    User,
    Team,
    Agent,
    Action,
    Dimension(Name),
}

/// Runs that ended in a stretch of time, each end of which may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageAsk {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub by: UsageBy,
}

/// What the runs of one group were charged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub runs: u64,
    /// Debt included, refunds taken off.
    pub charged: Credits,
    pub debt: Credits,
    pub paid_by: BTreeMap<Species, Credits>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// From 1, in the order in which they were raised.
    pub number: u64,
    pub name: Name,
    pub at: Timestamp,
    /// The counter that reached it, for an alert on a cap.
    pub counter: Option<CapKey>,
}

/// One version of the playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub playbook: Name,
    pub version: u32,
    /// `None` where it was only checked.
    pub published_at: Option<Timestamp>,
    /// From when it is in force, where that is known.
    pub effective_at: Option<Timestamp>,
    pub in_force: bool,
}

/// The later of two versions that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffTo {
    Version(u32),
    Source(String),
}

/// An entry of an account's journal, for auditors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// From 1, without gaps.
    pub number: u64,
    pub at: Timestamp,
    /// A word for what happened.
    pub kind: &'static str,
    /// The design choice of the rule; `None`: the ledger's own book-keeping.
    pub choice: Option<Choice>,
    /// The rule that did it.
    pub rule: &'static str,
    /// The playbook version whose rule it was; 0 where there was none yet.
    pub version: u32,
    /// By how much each block changed.
    pub changes: Vec<BlockChange>,
    /// By how much the debt of all pools changed.
    pub debt: Credits,
    pub run: Option<ReservationId>,
    pub sidecar: Option<SidecarId>,
    /// The write that caused it.
    pub request: Option<RequestId>,
    pub link: [u8; 32],
    /// Whether number and link follow from the entry before.
    pub linked: bool,
}

/// By how much a block's columns changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockChange {
    pub block: BlockId,
    pub species: Species,
    pub pool: PoolId,
    pub granted: Credits,
    pub available: Credits,
    pub held: Credits,
    pub spent: Credits,
    pub lapsed: Credits,
    pub withdrawn: Credits,
}
