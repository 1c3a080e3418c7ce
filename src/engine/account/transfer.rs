//! C11: credits move between pools, and between accounts. Between two accounts it takes three steps, each of one account
//! alone: they leave the giver, the other takes them once, the giver hears of it. Whatever is lost in between is repeated;
//! what the other does not take comes back.

use super::administer::AdminRefusal;
use super::entry::{Reply, What};
use super::entry_contract::{Sent, TransferId, TransferReceived, TransferSent};
use super::work::Work;
use crate::credit::path::has_pool;
use crate::credit::{Block, Move, PoolId};
use crate::playbook::transfer::Between;
use crate::types::{AccountId, BlockId, Credits, Timestamp, calendar};

/// A transfer that was not answered is tried again after so long at first.
const RETRY_MICROS: i64 = 60_000_000;

/// What is to be moved, seen from the account that gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferAsk {
    pub from: PoolId,
    /// `None` = a pool of the same account.
    pub account: Option<AccountId>,
    pub to: PoolId,
    pub credits: Credits,
    /// Asked by a member, not by an administrator.
    pub by_member: bool,
}

impl Work<'_> {
    /// Takes credits out of a pool of this account, by its plan's rules.
    pub(super) fn transfer(&self, ask: &TransferAsk) -> Result<(Vec<What>, Reply), AdminRefusal> {
        let contract = self.contract()?;
        let rule = contract.plan.transfers;
        let within = match rule.between {
            Between::None => false,
            Between::Pools => ask.account.is_none(),
            Between::Accounts => true,
        };
        let same = ask.account.is_none() && ask.from == ask.to;
        if !within || same || (ask.by_member && !rule.by_member) {
            return Err(AdminRefusal::TransferNotAllowed);
        }
        self.known_pool(&ask.from)?;
        if ask.account.is_none() {
            self.known_pool(&ask.to)?;
        }
        let window = self.within_limit(ask.credits)?;
        let (moves, blocks) = self.taken(ask)?;
        let id = TransferId { from: self.account.id.clone(), number: self.account.number + 1 };
        let reply = match &ask.account {
            Some(_) => Reply::Transferred(id.number),
            None => Reply::Done,
        };
        let sent = match &ask.account {
            None => TransferSent { moves, blocks, sent: None, credits: ask.credits, window },
            Some(account) => {
                let sent = Sent {
                    to: account.clone(),
                    pool: ask.to.clone(),
                    blocks,
                    moves: moves.clone(),
                    at: self.at,
                };
                let blocks = Vec::new();
                TransferSent { moves, blocks, sent: Some((id, sent)), credits: ask.credits, window }
            }
        };
        Ok((vec![What::TransferSent(Box::new(sent))], reply))
    }

    /// Whether the plan's limit on transfers leaves room; answers the window that it counts in.
    fn within_limit(&self, credits: Credits) -> Result<Option<Timestamp>, AdminRefusal> {
        let contract = self.contract()?;
        let Some((limit, every)) = contract.plan.transfers.limit else { return Ok(None) };
        let window = calendar::window(self.at, every, contract.origin, &contract.zone).start;
        let given = self.account.given.filter(|(start, _)| *start == window).map(|(_, given)| given);
        if given.unwrap_or_default() + credits > limit {
            return Err(AdminRefusal::TransferLimit { limit });
        }
        Ok(Some(window))
    }

    /// The draws of a pool in its draw order, as moves and as the blocks that the other side has.
    fn taken(&self, ask: &TransferAsk) -> Result<(Vec<Move>, Vec<Block>), AdminRefusal> {
        let (moves, blocks, missing) = self.taken_out(&ask.from, &ask.to, ask.credits);
        if missing.is_positive() {
            return Err(AdminRefusal::CreditsExhausted);
        }
        self.room_for_blocks(blocks.len())?;
        Ok((moves, blocks))
    }

    pub(super) fn known_pool(&self, pool: &PoolId) -> Result<(), AdminRefusal> {
        let known = has_pool(&self.contract()?.plan.pooling, pool);
        if known { Ok(()) } else { Err(AdminRefusal::PoolUnknown(pool.clone())) }
    }

    /// Takes what another account sent, once. Refused where this account cannot have it: the giver then has it back, and
    /// the refusal stands whoever asks again.
    pub fn receive(&mut self, id: &TransferId, sent: &Sent) -> Result<(), AdminRefusal> {
        match self.account.received.get(id) {
            Some(true) => return Ok(()),
            Some(false) => return Err(AdminRefusal::TransferNotAllowed),
            None => {}
        }
        self.contract()?;
        let refused = if self.is_over() {
            Some(AdminRefusal::SubscriptionOver)
        } else {
            self.known_pool(&sent.pool).and_then(|()| self.room_for_blocks(sent.blocks.len())).err()
        };
        let next = self.account.next_block;
        let blocks = sent.blocks.iter().zip(next..).filter(|_| refused.is_none());
        let blocks = blocks.map(|(block, id)| Block { id: BlockId(id), ..block.clone() }).collect();
        self.emit(What::TransferReceived(Box::new(TransferReceived { id: id.clone(), blocks })));
        self.lapse_ended();
        self.refresh = true;
        refused.map_or(Ok(()), Err)
    }

    /// When transfers that nobody has answered are tried again: after a minute, two, four, and so on.
    pub(super) fn next_transfer(&self) -> Option<Timestamp> {
        let again = |sent: &Sent| {
            let mut wait = RETRY_MICROS;
            while sent.at.plus_micros(wait) <= self.at && wait < i64::MAX / 2 {
                wait *= 2;
            }
            sent.at.plus_micros(wait)
        };
        self.account.sent.values().map(again).min()
    }

    /// The other account has answered a transfer; `taken`: it has the credits, else they come back.
    pub fn transfer_answered(&mut self, id: &TransferId, taken: bool) {
        let Some(sent) = self.account.sent.get(id) else { return };
        let undo = |step: &Move| Move { from: step.to, to: step.from, ..*step };
        let back = if taken { Vec::new() } else { sent.moves.iter().map(undo).collect() };
        self.emit(What::TransferAnswered { id: id.clone(), back });
        self.lapse_ended();
    }

    /// Transfers that no other account has answered yet.
    pub fn unanswered(&self) -> Vec<(TransferId, Sent)> {
        self.account.sent.iter().map(|(id, sent)| (id.clone(), sent.clone())).collect()
    }
}
