//! Calls about runs, from question to answer.

use std::time::Duration;

use super::admit::{is_elsewhere, opened, taken};
use super::calls::{Came, Turn};
use super::core::Core;
use super::handles::{self, ToSeal};
use super::slot::Desk;
use super::upstream::Upstream;
use crate::credit::{Reason, State};
use crate::engine::account::{RunAsk, RunReply};
use crate::engine::answer::{AuthorizeAnswer, Next, ProgressAnswer, RunAnswer};
use crate::engine::call::{Authorize, Commit, Progress, Record, Release};
use crate::engine::handle;
use crate::engine::wallet::{Link, Step};
use crate::grpc::entitlement_api::{
    About, Answered, AuthorizeQuestion, CommitQuestion, Given, Outcome, ProgressQuestion, RecordQuestion,
    Refused,
};
use crate::grpc::lease_client::NamedRun;
use crate::playbook::Mode;
use crate::types::{AccountId, Credits, ReservationId, Timestamp};

/// The operations whose request ids make a reservation's id.
pub const AUTHORIZE: &str = "authorize";
pub const RECORD: &str = "record";

/// How long a record or event that the ledger booked is remembered here, in microseconds: an hour, as long as records are kept.
const RECORD_MICROS: i64 = 3_600_000_000;

/// A decision, with what the answer tells besides. Boxed on its way out of the wallet: it is passed through many hands.
struct Local<A> {
    answer: A,
    handle: Option<ToSeal>,
    about: About,
}

impl<U: Upstream> Core<U> {
    pub async fn authorize(
        &self,
        question: &AuthorizeQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<AuthorizeAnswer>, Refused> {
        let account = &question.account;
        let fresh = ReservationId(self.ids.next());
        let mut made: Option<(Authorize, bool)> = None;
        let named = named(question);
        let came = self
            .drive_naming(account, patience, &named, |desk, link| {
                let call = match &made {
                    Some((call, true)) => call,
                    _ => {
                        let keyed = desk.slot.wallet.terms.is_some();
                        &made.insert((self.call(question, AUTHORIZE, fresh, desk)?, keyed)).0
                    }
                };
                if is_elsewhere(desk, call.id, link)? {
                    return Ok(Turn::Decide(Box::new(RunAsk::Authorize(Box::new(call.clone())))));
                }
                let step = desk.slot.wallet.authorize(call, false, link, desk.here, desk.tape)?;
                Ok(match step {
                    Step::Done { answer, wait } => {
                        let handle = answer.reservation.and_then(|id| handles::of_known(desk, id, self.id));
                        let about = About { version: answer.version, ..About::default() };
                        Turn::Done { answer: Box::new(Local { answer, handle, about }), wait }
                    }
                    Step::Lease(ask) => Turn::Lease(ask),
                    Step::Decide => Turn::Decide(Box::new(RunAsk::Authorize(Box::new(call.clone())))),
                })
            })
            .await?;
        let id = made.as_ref().map_or(fresh, |(call, _)| call.id);
        match came {
            Came::Here { answer, at } => Ok(answer.answered(id, at)),
            Came::Ledger(RunReply::Authorize(answer)) => {
                let times = (answer.as_of, answer.expires_at.unwrap_or(answer.as_of));
                if answer.reservation.is_some() {
                    let until = answer.expires_at.unwrap_or(answer.as_of.plus_micros(RECORD_MICROS));
                    self.elsewhere(account, id, until).await?;
                }
                let made = made.filter(|_| answer.reservation.is_some());
                let handle = made.and_then(|(call, _)| {
                    let version = answer.version;
                    let made =
                        |desk: &mut Desk<'_, '_>| handles::of_asked(desk, &call, version, times, self.id);
                    self.shards.visit(account, made)?.ok()?
                });
                let about = About { version: answer.version, ..About::default() };
                let local = Local { answer: *answer, handle, about };
                Ok(Answered { by_ledger: true, ..local.answered(id, self.shards.clock.now()) })
            }
            Came::Ledger(_) => Err(unfit()),
        }
    }

    pub async fn record(
        &self,
        question: RecordQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<RunAnswer>, Refused> {
        let RecordQuestion { run, outcome } = question;
        let account = run.account.clone();
        let fresh = ReservationId(self.ids.next());
        let mut made: Option<(Record, String, bool)> = None;
        let named = named(&run);
        let came = self
            .drive_naming(&account, patience, &named, |desk, link| {
                let (call, text, _) = match &made {
                    Some(made @ (_, _, true)) => made,
                    _ => {
                        let keyed = desk.slot.wallet.terms.is_some();
                        let authorize = self.call(&run, RECORD, fresh, desk)?;
                        let commit = commit_of(authorize.id, &outcome);
                        let text = self.first_handle(desk, &authorize);
                        &*made.insert((Record { authorize, commit }, text, keyed))
                    }
                };
                taken(desk, link)?;
                if is_elsewhere(desk, call.authorize.id, link)? {
                    return Ok(Turn::Decide(Box::new(RunAsk::Record(Box::new(call.clone())))));
                }
                let step = desk.slot.wallet.record(call, text, link, desk.here, desk.tape)?;
                let id = call.authorize.id;
                Ok(self.local(desk, id, step, || RunAsk::Record(Box::new(call.clone()))))
            })
            .await?;
        let (id, text) = match made {
            Some((call, text, _)) => (call.authorize.id, text),
            None => (fresh, String::new()),
        };
        let until = self.shards.clock.now().plus_micros(RECORD_MICROS);
        let mut answered = self.answered(came, &account, (id, until), 0).await?;
        answered.handle = answered.handle.or(Some(text));
        Ok(answered)
    }

    pub async fn commit(
        &self,
        question: CommitQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<RunAnswer>, Refused> {
        let CommitQuestion { handle: given, outcome } = question;
        let id = given.claim.id;
        let call = commit_of(id, &outcome);
        let came = self
            .drive(&given.claim.account, patience, |desk, link| {
                let Some(handle) = opened(desk, &given, link)? else {
                    return Ok(Turn::Lease(Box::default()));
                };
                let handing = desk.slot.wallet.is_handing(id);
                let ask = |handle| RunAsk::Commit(Box::new(call.clone()), Some(Box::new(handle)));
                if handing && link == Link::Untried {
                    return Ok(Turn::Decide(Box::new(ask(handle))));
                }
                // A second hold under one id: the other's word may come first.
                let other = (handle.settler != self.id).then_some(handle.settler);
                let own = Commit { provisional: other, ..call.clone() };
                let step = desk.slot.wallet.commit(&own, &given.text, link, desk.here, desk.tape)?;
                Ok(self.local(desk, id, step, || ask(handle)))
            })
            .await?;
        let run = (id, given.claim.expires_at);
        self.answered(came, &given.claim.account, run, given.claim.version).await
    }

    pub async fn release(
        &self,
        given: Given,
        patience: Option<Duration>,
    ) -> Result<Answered<RunAnswer>, Refused> {
        let call = Release { id: given.claim.id, accepted_at: None };
        let came = self
            .drive(&given.claim.account, patience, |desk, link| {
                let Some(handle) = opened(desk, &given, link)? else {
                    return Ok(Turn::Lease(Box::default()));
                };
                let ask = || RunAsk::Release(call.clone(), Some(Box::new(handle)));
                if desk.slot.wallet.is_handing(call.id) && link == Link::Untried {
                    return Ok(Turn::Decide(Box::new(ask())));
                }
                let step = desk.slot.wallet.release(&call, &given.text, link, desk.here, desk.tape)?;
                Ok(self.local(desk, call.id, step, ask))
            })
            .await?;
        let run = (call.id, given.claim.expires_at);
        self.answered(came, &given.claim.account, run, given.claim.version).await
    }

    pub async fn progress(
        &self,
        question: ProgressQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<ProgressAnswer>, Refused> {
        let ProgressQuestion { handle: given, quantities, ahead, ttl } = question;
        let id = given.claim.id;
        let call = Progress { id, quantities, ahead, ttl };
        let came = self
            .drive(&given.claim.account, patience, |desk, link| {
                let Some(handle) = opened(desk, &given, link)? else {
                    return Ok(Turn::Lease(Box::default()));
                };
                if desk.slot.wallet.is_handing(id) && link == Link::Untried {
                    let ask = RunAsk::Progress(Box::new(call.clone()), Some(Box::new(handle)));
                    return Ok(Turn::Decide(Box::new(ask)));
                }
                let foreign = handle.settler != self.id || desk.slot.is_elsewhere(id);
                let known = (&handle, foreign);
                Ok(match desk.slot.wallet.progress(&call, known, link, desk.here, desk.tape)? {
                    Step::Done { answer, wait } => {
                        let about = about(desk, handle.version);
                        Turn::Done { answer: Box::new(Local { answer, handle: None, about }), wait }
                    }
                    Step::Lease(ask) => Turn::Lease(ask),
                    Step::Decide => {
                        let ask = RunAsk::Progress(Box::new(call.clone()), Some(Box::new(handle)));
                        Turn::Decide(Box::new(ask))
                    }
                })
            })
            .await?;
        match came {
            Came::Here { answer, at } => Ok(answer.answered(id, at)),
            Came::Ledger(RunReply::Progress(answer)) => {
                self.elsewhere(&given.claim.account, id, answer.stop_by).await?;
                let version = given.claim.version;
                let known = self.shards.visit(&given.claim.account, |desk| about(desk, version));
                let about = known.and_then(Result::ok).unwrap_or_default();
                let local = Local { answer: *answer, handle: None, about };
                Ok(Answered { by_ledger: true, ..local.answered(id, self.shards.clock.now()) })
            }
            Came::Ledger(_) => Err(unfit()),
        }
    }

    async fn elsewhere(
        &self,
        account: &AccountId,
        id: ReservationId,
        until: Timestamp,
    ) -> Result<(), Refused> {
        self.settled_elsewhere(account, id, until).await.map_err(|_| Refused::JournalFailed)
    }

    /// The call as the engine reads it. Before the account's key is known, its id is a placeholder: nothing but the
    /// account's terms is asked for then, and the call is made anew.
    fn call(
        &self,
        question: &AuthorizeQuestion,
        operation: &str,
        fresh: ReservationId,
        desk: &Desk<'_, '_>,
    ) -> Result<Authorize, Refused> {
        let key = desk.slot.wallet.terms.as_ref().map(|terms| terms.key);
        let named = |given: &Option<Box<Given>>, field| match (given, &key) {
            (Some(given), Some(key)) => {
                handles::open(given, &question.account, key, field).map(|handle| Some(handle.id))
            }
            _ => Ok(None),
        };
        let id = match (&question.request_id, &key) {
            (Some(request), Some(key)) => handle::reservation_id(key, &question.account, operation, request),
            _ => fresh,
        };
        Ok(Authorize {
            id,
            action: question.action.clone(),
            subject: question.subject.clone(),
            quantities: question.quantities.clone(),
            dimensions: question.dimensions.clone(),
            run_id: question.run_id.clone(),
            parent: named(&question.parent, "parent")?,
            retry_of: named(&question.retry_of, "retry_of")?,
            ttl: question.ttl,
            validate_only: question.validate_only,
        })
    }

    /// The handle under which a record goes to the ledger if it must be passed on.
    fn first_handle(&self, desk: &Desk<'_, '_>, call: &Authorize) -> String {
        let version = desk.slot.wallet.contract.as_ref().map_or(0, |contract| contract.playbook.version);
        let times = (desk.here.at, desk.here.at);
        handles::of_asked(desk, call, version, times, self.id).map(ToSeal::seal).unwrap_or_default()
    }

    fn local(
        &self,
        desk: &Desk<'_, '_>,
        id: ReservationId,
        step: Step<RunAnswer>,
        ask: impl FnOnce() -> RunAsk,
    ) -> Turn<Box<Local<RunAnswer>>> {
        match step {
            Step::Done { answer, wait } => {
                let book = &desk.slot.wallet.book;
                let version = book.runs.get(&id).map(|run| run.version);
                let version = version.or_else(|| book.finals.get(&id).map(|ended| ended.version));
                let about = About { version: version.unwrap_or_default(), ..About::default() };
                let handle = handles::of_known(desk, id, self.id);
                Turn::Done { answer: Box::new(Local { answer, handle, about }), wait }
            }
            Step::Lease(ask) => Turn::Lease(ask),
            Step::Decide => Turn::Decide(Box::new(ask())),
        }
    }

    async fn answered(
        &self,
        came: Came<Box<Local<RunAnswer>>>,
        account: &AccountId,
        (id, until): (ReservationId, Timestamp),
        version: u32,
    ) -> Result<Answered<RunAnswer>, Refused> {
        let mut answered = match came {
            Came::Here { answer, at } => {
                // Kept for a settler out of reach: the run's request id is that one's from here on.
                if answer.answer.state == State::Accepted {
                    self.elsewhere(account, id, until).await?;
                }
                answer.answered(id, at)
            }
            Came::Ledger(RunReply::Run(answer)) => {
                self.elsewhere(account, id, until).await?;
                let local = Local { answer: *answer, handle: None, about: About::default() };
                Answered { by_ledger: true, ..local.answered(id, self.shards.clock.now()) }
            }
            Came::Ledger(_) => return Err(unfit()),
        };
        if answered.about.version == 0 {
            answered.about.version = version;
        }
        Ok(answered)
    }
}

impl<A> Local<A> {
    fn answered(self, id: ReservationId, at: Timestamp) -> Answered<A> {
        let handle = self.handle.map(ToSeal::seal);
        Answered { answer: self.answer, at, by_ledger: false, handle, id, about: self.about }
    }
}

/// Runs that a question names, and who settles them.
fn named(question: &AuthorizeQuestion) -> Vec<NamedRun> {
    let given = question.parent.iter().chain(&question.retry_of);
    given.map(|given| NamedRun { id: given.claim.id, settler: given.claim.settler }).collect()
}

fn commit_of(id: ReservationId, outcome: &Outcome) -> Commit {
    Commit {
        quantities: outcome.quantities.clone(),
        completion: outcome.completion,
        verified: outcome.verified,
        request_id: outcome.request_id.clone(),
        ..Commit::new(id, outcome.result)
    }
}

/// What an answer tells of the account besides the run.
fn about(desk: &Desk<'_, '_>, version: u32) -> About {
    let wallet = &desk.slot.wallet;
    let Some(contract) = &wallet.contract else { return About { version, ..About::default() } };
    let blocks = wallet.book.pools.iter().flat_map(|pool| &pool.blocks);
    let idle: Credits = blocks
        .filter(|block| !block.species.is_last_resort() && block.pays(desk.here.at))
        .map(|block| block.available)
        .sum();
    About {
        remaining: idle + wallet.rest.balance,
        next: Next::after(&contract.plan.overage),
        enforced: contract.plan.mode == Mode::Enforce,
        version,
    }
}

/// The ledger answered another question than was asked: nothing can be made of it.
fn unfit() -> Refused {
    let reason = Reason::LedgerUnreachable.word();
    tracing::error!(reason, "the ledger's answer does not fit the question");
    Refused::NotReady("the ledger's answer does not fit the question")
}
