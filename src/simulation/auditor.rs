//! An auditor who knows only what was asked and what was answered: which runs hold and have spent how much at least and at
//! most, hence what must not have been allowed, and what must not have been refused.

use std::collections::{BTreeMap, BTreeSet};

use super::turn::{Reply, Wish};
use crate::credit::{Decision, Reason, State};
use crate::engine::answer::{AuthorizeAnswer, RunAnswer};
use crate::engine::call::Authorize;
use crate::playbook::charge::Quantities;
use crate::types::{AccountId, Credits, Name, ReservationId, SidecarId, Timestamp};

/// A refusal for lack of something is looked at where everybody was in touch for so long before the question, in
/// microseconds: longer than a sidecar is left in peace that did not answer a recall.
const CALM: i64 = 12_000_000;

/// Clocks differ by so much at most, and what ends at a sidecar is known at the ledger so soon.
const SLACK: i64 = 3_000_000;

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

/// A run, from what was asked and answered about it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub account: AccountId,
    /// Whose it is, as it was allowed.
    user: Option<Name>,
    /// Whose it may be: an id may be asked for again, for another user.
    pub(super) users: BTreeSet<Name>,
    /// It was allowed as a child, and whether it may be a root: an id may be asked for again, without a parent.
    pub is_child: bool,
    pub(super) may_be_root: bool,
    /// Children were asked for, which take from its hold.
    has_children: bool,
    /// The most that anything asked about it could hold or charge.
    most: Credits,
    /// What it was allowed to hold.
    held: Option<Credits>,
    /// It was allowed as degraded use.
    degraded: bool,
    /// Until when it may hold anything.
    until: Timestamp,
    /// Until when it certainly does, where nothing more is asked about it.
    certain: Timestamp,
    /// Something was asked that may have ended or changed it.
    touched: bool,
    late: bool,
    /// Its use was recorded without a reservation, or by an event.
    pub direct: bool,
    /// Questions about it without an answer yet, or for good.
    pub open_questions: usize,
    pub lost_questions: usize,
    /// Charges that its settler answered, in order, and where.
    pub settled: Vec<(Credits, SidecarId)>,
    /// Charges that were answered as provisional: where it was held twice, one of them may be the first, which stands.
    pub provisional: Vec<Credits>,
    /// A commit was accepted: it must reach the ledger.
    pub accepted: Vec<SidecarId>,
    /// Sidecars that held it.
    pub at: BTreeSet<SidecarId>,
    /// Questions that would hold it: one that comes again after it was forgotten holds it anew.
    pub holding: usize,
    /// A lapse of it is charged.
    lapses: bool,
}

#[derive(Debug)]
pub(super) struct Asked {
    now: i64,
    pub(super) at: Timestamp,
    sidecar: SidecarId,
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

impl Seen {
    fn allowed(&mut self, asked: &Asked, answer: &AuthorizeAnswer) {
        self.at.insert(asked.sidecar);
        if let (Wish::Authorize(call), None) = (&asked.wish, self.held) {
            self.user.clone_from(&call.subject.user);
            self.is_child = call.parent.is_some();
        }
        if matches!(&asked.wish, Wish::Authorize(call) if call.action.as_str() == "ping") {
            self.settled.push((answer.charged, asked.sidecar));
            self.held = Some(answer.charged);
            self.degraded |= answer.decision == Decision::AllowedDegraded;
        } else {
            let again = self.held.is_some();
            self.held = Some(answer.held);
            self.degraded |= answer.decision == Decision::AllowedDegraded;
            if let Some(until) = answer.expires_at.filter(|_| !again) {
                (self.until, self.certain) = (until, until);
            }
        }
    }

    /// What it was charged was held for it, and is owed all the same.
    fn owes(&self, asked: &Asked, answer: &RunAnswer) -> Option<String> {
        // What an unclean stop lost sight of is sealed for this: nobody else has it meanwhile.
        let plain = !self.late && self.holding == 1 && self.at.len() == 1;
        let plain = plain && !self.is_child && !self.has_children;
        let own = self.at.contains(&asked.sidecar) && matches!(asked.wish, Wish::Commit(..));
        let fits = self.held.is_some_and(|held| answer.charged <= held) && !self.degraded;
        if plain && own && fits && !answer.provisional && answer.debt.is_positive() {
            return Some(format!(
                "account {}: a run was charged {}, which it held, and {} of it are owed",
                asked.account, answer.charged, answer.debt
            ));
        }
        None
    }

    /// It certainly holds what it was allowed, or its charge within that is known.
    fn least(&self, at: Timestamp) -> Credits {
        let Some(held) = self.held.filter(|_| !self.degraded) else { return Credits::ZERO };
        match self.settled.last() {
            Some((charged, _)) if !self.late => (*charged).min(held),
            _ if self.is_open(at) => held,
            _ => Credits::ZERO,
        }
    }

    /// Whether a charge for it may be right: answered, or asked for without an answer, or for a lapse.
    pub fn may_be_charged(&self) -> bool {
        let unanswered = self.lost_questions + self.open_questions > 0;
        !self.settled.is_empty() || !self.accepted.is_empty() || unanswered || self.touched || self.lapses
    }

    pub fn lapses(&self) -> bool {
        self.lapses
    }

    fn is_open(&self, at: Timestamp) -> bool {
        self.held.is_some() && !self.direct && !self.touched && at.plus_micros(SLACK) < self.certain
    }

    pub(super) fn may_be_open(&self, at: Timestamp) -> bool {
        let answered = !self.settled.is_empty() && self.open_questions + self.lost_questions == 0;
        !self.direct && !answered && at < self.until.plus_micros(SLACK)
    }

    /// The most that it may hold or have spent.
    pub(super) fn most(&self, at: Timestamp) -> Credits {
        // Settled elsewhere in its settler's silence, it is held there until that one hears of it.
        let twice = if self.provisional.is_empty() { Credits::ZERO } else { self.held.unwrap_or_default() };
        let most = self.most.max(self.held.unwrap_or_default()) + twice;
        if let ([.., (charged, _)], 0, 0) = (&*self.settled, self.open_questions, self.lost_questions) {
            return if self.at.len() > 1 { most } else { *charged };
        }
        let lapsed = at >= self.until.plus_micros(SLACK);
        let free = lapsed && !self.touched && self.open_questions == 0 && !self.lapses;
        if free && !self.direct { Credits::ZERO } else { most }
    }
}
