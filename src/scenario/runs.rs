//! Operations about runs.

use super::operation::{Keys, Unread};
use super::value::{Reply, Value};
use super::world::{RunRef, World};
use crate::engine::account::{RunAsk, RunReply};
use crate::engine::answer::{AuthorizeAnswer, ProgressAnswer, RunAnswer};
use crate::engine::call::{Record, Release};
use crate::engine::fault::Fault;
use crate::engine::handle::Handle;
use crate::engine::wallet::{Here, Link, Step, Wallet};
use crate::playbook::draw_order::Species;
use crate::types::{AccountId, Credits, ReservationId};

use super::node::Disk;

/// How often one call may ask the ledger: once for the account, once for what is lacking.
const ASKS_MAX: usize = 4;

/// What an operation came to: a reply, an error by its reason, or a badly written step.
pub type Done = Result<Reply, Unread>;

impl World {
    pub fn authorize(&mut self, node: &str, keys: &Keys<'_>) -> Done {
        let account = keys.account()?;
        let call = self.read_authorize(keys, "authorize")?;
        self.settlers_report(node, &account, call.parent);
        let decide = RunAsk::Authorize(Box::new(call.clone()));
        let (answer, waited) = self.drive(node, &account, decide, |wallet, link, here, disk| {
            wallet.authorize(&call, false, link, here, disk)
        })?;
        let answer = match answer {
            Answer::Here(answer) => answer,
            Answer::Ledger(RunReply::Authorize(answer)) => *answer,
            Answer::Ledger(_) => return Err(Unread::Wrong("the ledger answered something else".to_owned())),
        };
        if let Some(id) = answer.reservation {
            self.note_answered(node, &account, id, waited);
        }
        self.name_run(keys, &account, call.id, answer.reservation);
        Ok(authorized(&answer))
    }

    pub fn progress(&mut self, node: &str, keys: &Keys<'_>) -> Done {
        let run = self.run(keys)?;
        let call = self.read_progress(keys, run.id)?;
        let decide = RunAsk::Progress(Box::new(call.clone()), run.handle.clone().map(Box::new));
        self.settlers_report(node, &run.account, Some(run.id));
        let own = self.nodes.get(node).map(|node| node.id).unwrap_or_default();
        let handle = run.handle.as_ref().ok_or_else(|| format!("no handle of `{}`", run.id))?;
        let known = (handle, handle.settler != own);
        let (answer, _) = self.drive(node, &run.account, decide, |wallet, link, here, disk| {
            wallet.progress(&call, known, link, here, disk)
        })?;
        Ok(match answer {
            Answer::Here(answer) => progressed(&answer),
            Answer::Ledger(RunReply::Progress(answer)) => progressed(&answer),
            Answer::Ledger(_) => return Err(Unread::Wrong("the ledger answered something else".to_owned())),
        })
    }

    pub fn commit(&mut self, node: &str, keys: &Keys<'_>) -> Done {
        let run = self.run(keys)?;
        let call = self.read_commit(keys, run.id)?;
        let text = self.handle_text(&run);
        let decide = RunAsk::Commit(Box::new(call.clone()), run.handle.clone().map(Box::new));
        let answer = self.settle(node, &run, decide, |wallet, link, here, disk| {
            wallet.commit(&call, &text, link, here, disk)
        })?;
        Ok(settled(&answer))
    }

    pub fn release(&mut self, node: &str, keys: &Keys<'_>) -> Done {
        let run = self.run(keys)?;
        let call = Release { id: run.id, accepted_at: None };
        let text = self.handle_text(&run);
        let decide = RunAsk::Release(call.clone(), run.handle.clone().map(Box::new));
        let answer = self.settle(node, &run, decide, |wallet, link, here, disk| {
            wallet.release(&call, &text, link, here, disk)
        })?;
        Ok(settled(&answer))
    }

    pub fn record(&mut self, node: &str, keys: &Keys<'_>) -> Done {
        let account = keys.account()?;
        let authorize = self.read_authorize(keys, "record")?;
        self.settlers_report(node, &account, authorize.parent);
        let commit = self.read_commit(keys, authorize.id)?;
        let call = Record { authorize, commit };
        let decide = RunAsk::Record(Box::new(call.clone()));
        let (answer, _) = self.drive(node, &account, decide, |wallet, link, here, disk| {
            wallet.record(&call, "", link, here, disk)
        })?;
        self.name_run(keys, &account, call.authorize.id, Some(call.authorize.id));
        Ok(settled(&run_answer(answer)?))
    }

    pub fn state(&mut self, node: &str, keys: &Keys<'_>) -> Done {
        let run = self.run(keys)?;
        let here = self.nodes.get(node).and_then(|n| n.wallets.get(&run.account)?.state(run.id));
        if let Some(answer) = here {
            return Ok(settled(&answer));
        }
        if !self.nodes.get(node).is_some_and(super::node::Node::reachable) {
            return Err(Unread::of("NOT_READY"));
        }
        self.report(node);
        self.settlers_report(node, &run.account, Some(run.id));
        let ask = RunAsk::State(run.id, run.handle.clone().map(Box::new));
        let asking = self.nodes.get(node).map(|node| node.id).unwrap_or_default();
        match self.at_ledger(&run.account, |work| work.decide(&ask, asking)) {
            Ok(RunReply::Run(answer)) => Ok(settled(&answer)),
            Ok(_) => Err(Unread::Wrong("the ledger answered something else".to_owned())),
            Err(fault) => Err(Unread::said(fault.reason(), &fault)),
        }
    }

    fn settle(
        &mut self,
        node: &str,
        run: &RunRef,
        decide: RunAsk,
        act: impl Fn(&mut Wallet, Link, Here<'_>, &mut Disk) -> Result<Step<RunAnswer>, Fault>,
    ) -> Result<RunAnswer, Unread> {
        self.settlers_report(node, &run.account, Some(run.id));
        let (answer, _) = self.drive(node, &run.account, decide, act)?;
        run_answer(answer)
    }

    /// Carries a call through: what the slice lacks is asked of the ledger, what is not settled here goes there whole.
    fn drive<A>(
        &mut self,
        node: &str,
        account: &AccountId,
        decide: RunAsk,
        act: impl Fn(&mut Wallet, Link, Here<'_>, &mut Disk) -> Result<Step<A>, Fault>,
    ) -> Result<(Answer<A>, bool), Unread> {
        if !self.nodes.get(node).is_some_and(|node| node.alive) {
            return Err(Unread::Wrong(format!("sidecar `{node}` is not running")));
        }
        let mut link = Link::Untried;
        for _ in 0..ASKS_MAX {
            let step = self.with_wallet(node, account, |wallet, here, disk| act(wallet, link, here, disk));
            match step
                .ok_or_else(|| format!("no sidecar `{node}`"))?
                .map_err(|f| Unread::said(f.reason(), &f))?
            {
                Step::Done { answer, wait } => {
                    if let Some(node) = self.nodes.get_mut(node) {
                        node.flush(wait);
                    }
                    return Ok((Answer::Here(answer), wait.is_some()));
                }
                Step::Lease(ask) => link = self.ask(node, account, &ask),
                Step::Decide if self.nodes.get(node).is_some_and(super::node::Node::reachable) => {
                    self.recall_all(account);
                    self.give_back(node, account);
                    let asking = self.nodes.get(node).map(|node| node.id).unwrap_or_default();
                    let answer = self.at_ledger(account, |work| work.decide(&decide, asking));
                    return answer
                        .map(|reply| (Answer::Ledger(reply), true))
                        .map_err(|fault| Unread::said(fault.reason(), &fault));
                }
                Step::Decide if link == Link::Unreachable => return Err(Unread::of("NOT_READY")),
                Step::Decide => link = Link::Unreachable,
            }
        }
        Err(Unread::Wrong("the call asked the ledger too often".to_owned()))
    }

    /// A run that another live sidecar settles is handed to the ledger, which the caller's sidecar asks.
    fn settlers_report(&mut self, caller: &str, account: &AccountId, run: Option<ReservationId>) {
        let here = |id: &ReservationId| {
            let wallet = self.nodes.get(caller).and_then(|node| node.wallets.get(account));
            wallet.is_some_and(|wallet| wallet.book.runs.contains_key(id))
        };
        if let Some(id) = run.filter(|id| !here(id)) {
            self.promote_elsewhere(account, id);
        }
    }

    pub fn run(&self, keys: &Keys<'_>) -> Result<RunRef, Unread> {
        let name = keys.wanted("run")?;
        let run = self.runs.get(name).ok_or_else(|| format!("no step is named `{name}`"))?;
        if run.handle.is_none() {
            return Err(Unread::Wrong(format!("`{name}` was not authorised: it has no reservation")));
        }
        Ok(run.clone())
    }

    fn handle_text(&self, run: &RunRef) -> String {
        run.handle.clone().map(|handle| handle.seal(&super::world::key(&run.account))).unwrap_or_default()
    }

    fn name_run(
        &mut self,
        keys: &Keys<'_>,
        account: &AccountId,
        id: ReservationId,
        reserved: Option<ReservationId>,
    ) {
        let Some(name) = keys.text("as") else { return };
        let handle = reserved.and_then(|id| self.make_handle(account, id));
        self.runs.insert(name.to_owned(), RunRef { account: account.clone(), id, handle });
    }

    fn make_handle(&self, account: &AccountId, id: ReservationId) -> Option<Handle> {
        let books = self
            .nodes
            .values()
            .filter_map(|node| Some((node.id, &node.wallets.get(account)?.book)))
            .chain(self.accounts.get(account).map(|account| (Default::default(), &account.book)));
        for (settler, book) in books {
            if let Some(run) = book.runs.get(&id) {
                return Some(Handle::of(run, account, settler, 1));
            }
            if let Some(ended) = book.finals.get(&id) {
                let times = (ended.authorized_at, ended.expires_at);
                return Some(Handle::new(id, &ended.run, ended.version, times, account, settler, 1));
            }
        }
        None
    }

    fn note_answered(&mut self, name: &str, account: &AccountId, id: ReservationId, waited: bool) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let here = node.wallets.get(account).is_some_and(|wallet| wallet.book.runs.contains_key(&id));
        let record = (here && !waited).then_some(node.disk.records.len() as u64);
        node.answered.push((id, record));
    }
}

enum Answer<A> {
    Here(A),
    Ledger(RunReply),
}

fn run_answer(answer: Answer<RunAnswer>) -> Result<RunAnswer, Unread> {
    match answer {
        Answer::Here(answer) => Ok(answer),
        Answer::Ledger(RunReply::Run(answer)) => Ok(*answer),
        Answer::Ledger(_) => Err(Unread::Wrong("the ledger answered something else".to_owned())),
    }
}

fn authorized(answer: &AuthorizeAnswer) -> Reply {
    let mut reply = Reply::new();
    let mut say = |key: &str, value: Value| reply.insert(key.to_owned(), value);
    say("decision", answer.decision.word().into());
    if let Some(reason) = answer.reason {
        say("reason", reason.word().into());
    }
    if let Some(cap) = &answer.cap {
        say("cap", cap.as_str().into());
    }
    say("held", answer.held.into());
    say("charged", answer.charged.into());
    say("paid_by", by_species(&answer.paid_by));
    say("final", answer.is_final.into());
    let reached = answer.soft_caps_reached.iter().map(|cap| cap.as_str().into()).collect();
    say("soft_caps_reached", Value::List(reached));
    say("enforced", answer.enforced.into());
    if let Some((decision, reason)) = &answer.would_be {
        say("would_be_decision", decision.word().into());
        if let Some(reason) = reason {
            say("would_be_reason", reason.word().into());
        }
    }
    reply
}

fn progressed(answer: &ProgressAnswer) -> Reply {
    let mut reply = Reply::new();
    let mut say = |key: &str, value: Value| reply.insert(key.to_owned(), value);
    say("state", answer.state.word().into());
    say("decision", answer.decision.word().into());
    if let Some(reason) = answer.reason {
        say("reason", reason.word().into());
    }
    say("held", answer.held.into());
    say("charged", answer.charged.into());
    reply
}

fn settled(answer: &RunAnswer) -> Reply {
    let mut reply = Reply::new();
    let mut say = |key: &str, value: Value| reply.insert(key.to_owned(), value);
    say("state", answer.state.word().into());
    say("held", answer.held.into());
    say("charged", answer.charged.into());
    say("paid_by", by_species(&answer.paid_by));
    say("debt", answer.debt.into());
    say("provisional", answer.provisional.into());
    reply
}

pub fn by_species(parts: &[(Species, Credits)]) -> Value {
    Value::Map(parts.iter().map(|(species, amount)| (species.word().to_owned(), (*amount).into())).collect())
}
