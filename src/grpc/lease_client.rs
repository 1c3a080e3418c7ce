//! The ledger as a sidecar sees it. (Replaced by the real client.)

use std::time::Duration;

use thiserror::Error;

use crate::engine::account::{RunAsk, RunReply};
use crate::lease::{AccountTerms, Ask, Grant, LeaseTotals};
use crate::types::{AccountId, Epoch, SidecarId, Timestamp};

#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub sidecar: SidecarId,
    pub epoch: Epoch,
}

#[derive(Clone, Debug)]
pub struct Attached {
    pub epoch: Epoch,
    pub generation: u32,
    pub now: Timestamp,
    pub playbooks: Vec<String>,
    pub acknowledged: u64,
}

#[derive(Clone, Debug)]
pub enum Leased {
    Granted(Box<Grant>),
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Reported {
    pub number: u64,
    pub epoch: Epoch,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub enum Told {
    Playbook(String),
    Terms(AccountId, AccountTerms),
    Unknown(AccountId),
    Recall(AccountId),
}

#[derive(Clone, Debug, Error)]
pub enum LinkError {
    #[error("the ledger does not answer: {0}")]
    Unreachable(String),
    #[error("a newer process of this sidecar is at work")]
    Fenced,
    #[error("the ledger refuses: {0}")]
    Refused(String),
}

#[derive(Debug, Error)]
pub enum DecideError {
    #[error("the ledger does not answer: {0}")]
    Unreachable(String),
    #[error("a newer process of this sidecar is at work")]
    Fenced,
    #[error("{0}")]
    Fault(tonic::Status),
}
