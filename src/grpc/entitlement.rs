//! The service that agent runtimes call. It reads, asks whoever decides, and writes; it decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tonic::Status;

use super::call::Call;
use super::convert;
use super::entitlement_api::{Answered, AuthorizeQuestion, Entitlements, Refused};
use super::explain::explain;
use super::health::Health;
use super::hot::Hot;
use super::listen::Services;
use super::proto::v1;
use super::reply;
use super::status::{of_invalid, of_refused};
use super::watch_balance::{Balances, Watcher};
use crate::credit::{Decision, Reason};
use crate::engine::answer::AuthorizeAnswer;
use crate::runtime::{Clock, Shutdown};
use crate::telemetry::metrics::{Calls, Method, Mode};
use crate::telemetry::names::span;
use crate::telemetry::{Decided, Decisions, TraceParent, Traced};
use crate::types::{AccountId, Name};

/// A request in bytes: a batch of requests whose handles have their full length.
const REQUEST_BYTES_MAX: usize = 256 << 10;

/// An answer in bytes: a page of runs with all their names.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The service's name, as health knows it.
pub const ENTITLEMENT_SERVICE: &str = "bursar.v1.EntitlementService";

pub(super) struct Entitlement<E> {
    pub(super) api: Arc<E>,
    decisions: Arc<Decisions>,
    clock: Clock,
    /// Calls in work.
    calls: AtomicUsize,
    bounds: Bounds,
    watchers: Arc<AtomicUsize>,
    pub(super) stop: Shutdown,
}

/// What calls may take, and where they are counted.
#[derive(Debug)]
pub struct Bounds {
    /// Calls in work at once.
    pub calls_max: usize,
    /// Where calls are counted, if somebody reads it: then each reads the clock twice.
    pub calls: Option<Arc<Calls>>,
}

/// A call in work, counted until it is answered or dropped.
pub(super) struct InWork<'a>(&'a AtomicUsize);

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The services of a sidecar. At the stop, sessions end.
pub fn services<E: Entitlements>(
    api: Arc<E>,
    decisions: Arc<Decisions>,
    clock: Clock,
    bounds: Bounds,
    stop: Shutdown,
) -> (Services, Health) {
    let (calls, watchers) = (AtomicUsize::new(0), Arc::default());
    let entitlement = Entitlement { api, decisions, clock, calls, bounds, watchers, stop };
    Services::new(Hot::new(entitlement, REQUEST_BYTES_MAX, ANSWER_BYTES_MAX))
}

/// Who asked, for the note about the decision.
struct Asked {
    account: AccountId,
    action: Option<Name>,
    run_id: Option<Name>,
    parent: Option<TraceParent>,
}

/// What a call waits for, under its span where it is traced: off the path of those that are not.
macro_rules! traced {
    ($traced:expr, $work:expr) => {
        match &$traced {
            None => $work.await,
            Some(traced) => Box::pin(traced.trace().over($work)).await,
        }
    };
}

impl<E: Entitlements> Entitlement<E> {
    pub(super) fn enter(&self) -> Result<InWork<'_>, Status> {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        let work = InWork(&self.calls);
        if before >= self.bounds.calls_max { Err(of_refused(&Refused::Overloaded)) } else { Ok(work) }
    }

    /// Counts how a call was answered.
    pub(super) async fn measured<A>(
        &self,
        method: Method,
        call: Call,
        work: impl Future<Output = Result<A, Status>>,
    ) -> Result<A, Status> {
        let Some(calls) = &self.bounds.calls else { return work.await };
        let began = self.clock.boottime();
        let result = work.await;
        let status = result.as_ref().map_or_else(|status| status.code() as i32, |_| 0);
        calls.answered(method, self.clock.boottime().since(began), call.parent, status);
        result
    }

    fn count_decision<A>(&self, decision: Decision, reason: Option<Reason>, answered: &Answered<A>) {
        if let Some(calls) = &self.bounds.calls {
            calls.decided(decision, reason, Mode::of(answered.by_ledger, self.api.online()));
        }
    }

    fn connectivity(&self) -> v1::Connectivity {
        reply::connectivity(self.api.online())
    }

    fn note_authorized(
        &self,
        (asked, traced): (&Asked, Option<Traced>),
        answered: &Answered<AuthorizeAnswer>,
        id: &str,
        span: &'static str,
    ) {
        let answer = &answered.answer;
        let refused = answer.decision == Decision::Denied;
        self.note((asked, traced), answered, span, refused, |decided| Decided {
            decision_id: id,
            decision: answer.decision.word(),
            reason: answer.reason.map(crate::credit::Reason::word),
            cap: answer.cap.as_ref(),
            held: Some(answer.held),
            charged: Some(answer.charged),
            playbook_version: answer.version,
            ..decided
        });
    }

    /// Notes an answer where somebody wants to see it; nothing is gathered before that is known.
    fn note<'n, A>(
        &self,
        (asked, traced): (&'n Asked, Option<Traced>),
        answered: &Answered<A>,
        span: &'static str,
        refused: bool,
        fill: impl FnOnce(Decided<'n>) -> Decided<'n>,
    ) {
        let Some(note) = self.decisions.heed(traced, asked.parent, refused) else { return };
        let ended = self.clock.wall();
        let took = self.api.now().micros_since(answered.at);
        note.write(&fill(Decided {
            span,
            started: ended.plus_micros(-took),
            ended,
            account: &asked.account,
            action: asked.action.as_ref(),
            run_id: asked.run_id.as_ref(),
            decision_id: "",
            decision: "",
            reason: None,
            cap: None,
            reservation: Some(answered.id),
            held: None,
            charged: None,
            decided_by: if answered.by_ledger { "LEDGER" } else { "SIDECAR" },
            connectivity: if self.api.online() { "ONLINE" } else { "OFFLINE" },
            playbook_version: answered.about.version,
        }));
    }
}

/// What each call is answered. Errors: the status that its caller gets.
impl<E: Entitlements> Entitlement<E> {
    pub(super) async fn authorize(
        &self,
        call: Call,
        message: v1::AuthorizeRequest,
    ) -> Result<v1::AuthorizeResponse, Status> {
        self.measured(Method::Authorize, call, async {
            let _work = self.enter()?;
            self.decide(call, message, span::AUTHORIZE).await
        })
        .await
    }

    /// Of an authorise by itself, or in a batch.
    pub(super) async fn decide(
        &self,
        call: Call,
        message: v1::AuthorizeRequest,
        span: &'static str,
    ) -> Result<v1::AuthorizeResponse, Status> {
        let wants_trail = message.explain;
        let question = convert::authorize(message).map_err(of_invalid)?;
        let only_asked = question.validate_only;
        let traced = self.decisions.begin(span, call.parent);
        let answered = traced!(traced, self.api.authorize(&question, call.patience));
        let answered = answered.map_err(|why| of_refused(&why))?;
        let trail = if wants_trail { explain(&question, &answered.answer) } else { Vec::new() };
        let AuthorizeQuestion { account, action, run_id, .. } = question;
        let asked = Asked { account, action: Some(action), run_id, parent: call.parent };
        let id = hex(self.api.next_number());
        if !only_asked {
            self.count_decision(answered.answer.decision, answered.answer.reason, &answered);
        }
        self.note_authorized((&asked, traced), &answered, &id, span);
        Ok(reply::authorize(answered, id, self.connectivity(), trail))
    }

    pub(super) async fn progress(
        &self,
        call: Call,
        message: v1::ProgressRequest,
    ) -> Result<v1::ProgressResponse, Status> {
        self.measured(Method::Progress, call, async {
            let _work = self.enter()?;
            let question = convert::progress(message).map_err(of_invalid)?;
            let asked = Asked::of(&question.handle.claim, call.parent);
            let traced = self.decisions.begin(span::PROGRESS, call.parent);
            let answered = traced!(traced, self.api.progress(question, call.patience));
            let answered = answered.map_err(|why| of_refused(&why))?;
            let (answer, id) = (&answered.answer, hex(self.api.next_number()));
            self.count_decision(answer.decision, answer.reason, &answered);
            let refused = answer.decision == Decision::Denied;
            self.note((&asked, traced), &answered, span::PROGRESS, refused, |decided| Decided {
                decision_id: &id,
                decision: answer.decision.word(),
                reason: answer.reason.map(crate::credit::Reason::word),
                cap: answer.cap.as_ref(),
                held: Some(answer.held),
                charged: Some(answer.charged),
                ..decided
            });
            Ok(reply::progress(&answered, id.clone(), self.connectivity()))
        })
        .await
    }

    pub(super) async fn commit(
        &self,
        call: Call,
        message: v1::CommitRequest,
    ) -> Result<v1::CommitResponse, Status> {
        self.measured(Method::Commit, call, async {
            let _work = self.enter()?;
            let question = convert::commit(message).map_err(of_invalid)?;
            let asked = Asked::of(&question.handle.claim, call.parent);
            let traced = self.decisions.begin(span::COMMIT, call.parent);
            let answered = traced!(traced, self.api.commit(question, call.patience));
            let answered = answered.map_err(|why| of_refused(&why))?;
            self.note_ended((&asked, traced), &answered, span::COMMIT);
            Ok(reply::commit(&answered, self.connectivity()))
        })
        .await
    }

    pub(super) async fn release(
        &self,
        call: Call,
        message: v1::ReleaseRequest,
    ) -> Result<v1::ReleaseResponse, Status> {
        self.measured(Method::Release, call, async {
            let _work = self.enter()?;
            let handle = convert::release(message).map_err(of_invalid)?;
            let asked = Asked::of(&handle.claim, call.parent);
            let traced = self.decisions.begin(span::RELEASE, call.parent);
            let answered = traced!(traced, self.api.release(handle, call.patience));
            let answered = answered.map_err(|why| of_refused(&why))?;
            self.note_ended((&asked, traced), &answered, span::RELEASE);
            Ok(reply::release(&answered, self.connectivity()))
        })
        .await
    }

    pub(super) async fn record(
        &self,
        call: Call,
        message: v1::RecordRequest,
    ) -> Result<v1::RecordResponse, Status> {
        self.measured(Method::Record, call, async {
            let _work = self.enter()?;
            let question = convert::record(message).map_err(of_invalid)?;
            let AuthorizeQuestion { account, action, run_id, .. } = &question.run;
            let (account, action, run_id) = (account.clone(), Some(action.clone()), run_id.clone());
            let asked = Asked { account, action, run_id, parent: call.parent };
            let traced = self.decisions.begin(span::RECORD, call.parent);
            let answered = traced!(traced, self.api.record(question, call.patience));
            let answered = answered.map_err(|why| of_refused(&why))?;
            self.note_ended((&asked, traced), &answered, span::RECORD);
            let id = hex(self.api.next_number());
            Ok(reply::record(&answered, id, self.connectivity()))
        })
        .await
    }

    pub(super) async fn get_reservation(
        &self,
        call: Call,
        message: v1::GetReservationRequest,
    ) -> Result<v1::GetReservationResponse, Status> {
        let _work = self.enter()?;
        let lookup = convert::lookup(message).map_err(of_invalid)?;
        let view = self.api.reservation(lookup, call.patience).await.map_err(|why| of_refused(&why))?;
        Ok(v1::GetReservationResponse { run: Some(reply::run(view)) })
    }

    pub(super) async fn list_reservations(
        &self,
        _: Call,
        message: v1::ListReservationsRequest,
    ) -> Result<v1::ListReservationsResponse, Status> {
        let _work = self.enter()?;
        let question = convert::list(&message).map_err(of_invalid)?;
        let most = question.most;
        let views = self.api.reservations(question).await.map_err(|why| of_refused(&why))?;
        Ok(reply::page(views, most))
    }

    pub(super) async fn get_balance(
        &self,
        call: Call,
        message: v1::GetBalanceRequest,
    ) -> Result<v1::GetBalanceResponse, Status> {
        let _work = self.enter()?;
        let (account, pool) = convert::balance(&message).map_err(of_invalid)?;
        let view = self.api.balance(account, pool, call.patience).await.map_err(|why| of_refused(&why))?;
        Ok(reply::balance(&view, self.connectivity()))
    }

    pub(super) async fn watch_balance(
        &self,
        _: Call,
        message: v1::WatchBalanceRequest,
    ) -> Result<Balances, Status> {
        let _work = self.enter()?;
        let (account, pool, refused) = convert::watch_balance(message).map_err(of_invalid)?;
        let watcher = Watcher { api: Arc::clone(&self.api), account, pool, refused };
        watcher.begin(&self.watchers).await
    }

    pub(super) async fn get_features(
        &self,
        call: Call,
        message: v1::GetFeaturesRequest,
    ) -> Result<v1::GetFeaturesResponse, Status> {
        let _work = self.enter()?;
        let account = convert::account(&message.account).map_err(of_invalid)?;
        let (plan, playbook) = self.api.plan(account, call.patience).await.map_err(|why| of_refused(&why))?;
        Ok(reply::features(&plan, playbook.version))
    }
}

impl<E: Entitlements> Entitlement<E> {
    fn note_ended(
        &self,
        (asked, traced): (&Asked, Option<Traced>),
        answered: &Answered<crate::engine::RunAnswer>,
        span: &'static str,
    ) {
        let answer = &answered.answer;
        self.note((asked, traced), answered, span, false, |decided| Decided {
            decision: answer.state.word(),
            held: Some(answer.held),
            charged: Some(answer.charged),
            ..decided
        });
    }
}

impl Asked {
    fn of(claim: &crate::engine::handle::Handle, parent: Option<TraceParent>) -> Self {
        Self {
            account: claim.account.clone(),
            action: Some(claim.action.clone()),
            run_id: claim.run_id.clone(),
            parent,
        }
    }
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}
