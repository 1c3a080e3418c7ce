//! An auditor who knows only what was asked and what was answered: which runs hold and have spent how much at least and at
//! most, hence what must not have been allowed, and what must not have been refused.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::Seen;
use super::turn::{Reply, Wish};
use crate::credit::{Decision, Reason, State};
use crate::engine::call::Authorize;
use crate::playbook::charge::Quantities;
use crate::types::{AccountId, Credits, Name, ReservationId, SidecarId, Timestamp};

/// A refusal for lack of something is looked at where everybody was in touch for so long before the question, in
/// microseconds: longer than a sidecar is left in peace that did not answer a recall.
const CALM: i64 = 12_000_000;

/// Clocks differ by so much at most, and what ends at a sidecar is known at the ledger so soon.
pub(super) const SLACK: i64 = 3_000_000;

/// No run of these playbooks lives longer, outcome awaited.
const LONGEST: i64 = 400_000_000;

/// Runs that may be under way at once on the plan `hard`, and credits that a user of it may use.
pub(super) const PARALLEL: usize = 6;
pub(super) const USER: i64 = 30;

/// What an account was given.
#[derive(Clone, Copy, Debug)]
pub struct Money {
    pub credits: Credits,
    /// Headroom past it.
    pub overage: Credits,
    /// Some of it lapses: then how much there is, is not for the auditor to say.
    pub lapses: bool,
}

#[derive(Debug)]
pub(super) struct Asked {
    now: i64,
    pub(super) at: Timestamp,
    pub(super) sidecar: SidecarId,
    pub(super) account: AccountId,
    pub(super) wish: Wish,
    /// When the ledger first heard of it.
    pub(super) came: Option<i64>,
}

#[derive(Debug, Default)]
pub struct Auditor {
    pub money: BTreeMap<AccountId, Money>,
    pub runs: BTreeMap<ReservationId, Seen>,
    asked: BTreeMap<u64, Asked>,
    pub lost_disks: BTreeSet<SidecarId>,
    /// When the ledger was first asked for what a run needs.
    pub(super) arrivals: BTreeMap<ReservationId, i64>,
}

/// Credits that so much of an action costs.
pub(super) fn price(action: &Name, quantities: Option<&Quantities>) -> Credits {
    let units = match quantities {
        Some(Quantities::Single(units)) => Credits::computed(units.decimal()),
        _ => Credits::ONE,
    };
    match action.as_str() {
        "lead" => units + units + units,
        _ => units,
    }
}

impl Auditor {
    pub fn opened(&mut self, account: AccountId, money: Money) {
        self.money.insert(account, money);
    }

    pub fn granted(&mut self, account: &AccountId, credits: Credits) {
        if let Some(money) = self.money.get_mut(account) {
            money.credits += credits;
        }
    }

    /// What only this disk knew is lost: the promise is for disks that survive.
    pub fn disk_lost(&mut self, sidecar: SidecarId) {
        self.lost_disks.insert(sidecar);
    }

    fn seen(&mut self, account: &AccountId, call: &Authorize) -> &mut Seen {
        self.runs.entry(call.id).or_insert_with(|| Seen {
            account: account.clone(),
            user: None,
            users: BTreeSet::new(),
            is_child: call.parent.is_some(),
            may_be_root: false,
            has_children: false,
            most: Credits::ZERO,
            held: None,
            degraded: false,
            until: Timestamp::default(),
            certain: Timestamp::default(),
            touched: false,
            late: false,
            direct: call.action.as_str() == "ping",
            open_questions: 0,
            lost_questions: 0,
            settled: Vec::new(),
            provisional: Vec::new(),
            accepted: Vec::new(),
            at: BTreeSet::new(),
            holding: 0,
            lapses: false,
        })
    }

    pub fn asked(
        &mut self,
        id: u64,
        (now, at): (i64, Timestamp),
        sidecar: SidecarId,
        account: &AccountId,
        wish: &Wish,
    ) {
        let asked = Asked { now, at, sidecar, account: account.clone(), wish: wish.clone(), came: None };
        self.asked.insert(id, asked);
        let (most, authorized) = match wish {
            Wish::Authorize(call) => (price(&call.action, call.quantities.as_ref()), Some(call)),
            Wish::Record(call) => {
                (price(&call.authorize.action, call.authorize.quantities.as_ref()), Some(&call.authorize))
            }
            Wish::Commit(call, handle) => (price(&handle.action, call.quantities.as_ref()), None),
            Wish::Progress(call, handle) => {
                let so_far = price(&handle.action, call.quantities.as_ref());
                (so_far + price(&handle.action, call.ahead.as_ref()), None)
            }
            Wish::Release(..) | Wish::Renew => (Credits::ZERO, None),
        };
        if let Some(parent) = authorized.and_then(|call| call.parent) {
            self.runs.entry(parent).and_modify(|run| run.has_children = true);
        }
        if let Some(call) = authorized {
            let user = call.subject.user.clone();
            let run = self.seen(account, call);
            run.users.extend(user);
            run.may_be_root |= call.parent.is_none();
            run.until = run.until.max(at.plus_micros(LONGEST));
            run.direct |= matches!(wish, Wish::Record(_)) || call.action.as_str() == "ping";
            run.lapses |= call.action.as_str() == "lead";
            run.holding += 1;
        }
        let Some(run) = wish.id().and_then(|id| self.runs.get_mut(&id)) else { return };
        run.most = run.most.max(most);
        run.open_questions += 1;
        if authorized.is_none() {
            run.late |= run.touched || at.plus_micros(SLACK) >= run.until;
            run.touched = true;
        }
    }

    /// The ledger heard a call's question.
    pub fn arrived(&mut self, call: u64, run: ReservationId, now: i64) {
        self.arrivals.entry(run).or_insert(now);
        if let Some(asked) = self.asked.get_mut(&call) {
            asked.came.get_or_insert(now);
        }
    }

    /// The sidecar died before it answered.
    pub fn unanswered(&mut self, id: u64) {
        let run = self.asked.remove(&id).and_then(|asked| asked.wish.id());
        if let Some(run) = run.and_then(|id| self.runs.get_mut(&id)) {
            run.open_questions -= 1;
            run.lost_questions += 1;
        }
    }

    /// Takes an answer; says what is wrong with it.
    pub fn answered(
        &mut self,
        id: u64,
        (now, at): (i64, Timestamp),
        calm_since: Option<i64>,
        gone: (Credits, bool),
        reply: &Reply,
    ) -> Option<String> {
        let asked = self.asked.remove(&id)?;
        let run = self.runs.get_mut(&asked.wish.id()?)?;
        run.open_questions -= 1;
        match reply {
            Reply::Authorize(answer, _) => {
                if answer.decision == Decision::Denied {
                    let calm = calm_since.is_some_and(|since| asked.now - since >= CALM) && now > asked.now;
                    let reason = answer.reason?;
                    // The ledger may have decided it, and its word was lost on the way.
                    if reason == Reason::LedgerUnreachable {
                        run.lost_questions += 1;
                        return None;
                    }
                    let out = answer.out_of_reach.map_or(Credits::ZERO, |(credits, _)| credits.min(gone.0));
                    return if calm {
                        self.false_refusal(&asked, reason, answer.cap.as_ref(), (out, gone.1))
                    } else {
                        None
                    };
                }
                run.allowed(&asked, answer);
                let account = asked.account;
                self.overspent(&account, at)
            }
            Reply::Run(answer) => {
                if let Some(problem) = run.owes(&asked, answer) {
                    return Some(problem);
                }
                match (answer.state, answer.provisional) {
                    (State::Settled, false) => run.settled.push((answer.charged, asked.sidecar)),
                    (State::Accepted, _) if matches!(asked.wish, Wish::Commit(..) | Wish::Record(_)) => {
                        run.accepted.push(asked.sidecar);
                    }
                    (State::Settled, true) => run.provisional.push(answer.charged),
                    _ => {}
                }
                None
            }
            Reply::Progress(answer) => {
                run.until = run.until.max(answer.stop_by);
                None
            }
            Reply::Fault(_) | Reply::NotReady => {
                run.lost_questions += 1;
                None
            }
        }
    }

    /// Runs of an account that hold and have spent so much at least must fit into what it was given.
    fn overspent(&self, account: &AccountId, at: Timestamp) -> Option<String> {
        let money = self.money.get(account).filter(|money| !money.lapses)?;
        let runs = || self.runs.values().filter(|run| run.account == *account && !run.is_child);
        let used: Credits = runs().map(|run| run.least(at)).sum();
        let given = money.credits + money.overage;
        if used > given {
            return Some(format!(
                "account {account}: runs hold and have spent {used}, and it was given {given}"
            ));
        }
        if account.as_str() == "hard" {
            let open = runs().filter(|run| run.is_open(at)).count();
            if open > PARALLEL {
                return Some(format!("account {account}: {open} runs are under way, {PARALLEL} may be"));
            }
            for user in ["ann", "bob"] {
                let of_user =
                    runs().filter(|run| run.user.as_ref().is_some_and(|name| name.as_str() == user));
                let used: Credits = of_user.map(|run| run.least(at)).sum();
                if used > Credits::whole(USER) {
                    return Some(format!("account {account}: {user} uses {used}, and may use {USER}"));
                }
            }
        }
        None
    }
}
