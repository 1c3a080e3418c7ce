//! Questions that change nothing: one run, open runs, a balance, a plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::admit::opened;
use super::calls::{Came, Turn};
use super::core::Core;
use super::handles::{self, ToSeal};
use super::runs::{AUTHORIZE, RECORD};
use super::slot::{Desk, Slot};
use super::upstream::Upstream;
use crate::credit::path::has_pool;
use crate::credit::{PoolId, Run, State};
use crate::engine::Fault;
use crate::engine::account::balance::Standing;
use crate::engine::account::{RunAsk, RunReply};
use crate::engine::answer::{Next, RunAnswer};
use crate::engine::handle::{self, Handle};
use crate::engine::wallet::Link;
use crate::grpc::entitlement_api::{BalanceView, Given, ListQuestion, Lookup, Refused, RunView};
use crate::playbook::charge::Quantities;
use crate::playbook::draw_order::Species;
use crate::playbook::{Plan, Playbook};
use crate::types::{AccountId, Credits, RequestId, ReservationId, SidecarId, Timestamp};

/// Figures of the ledger that are older than this are asked for anew, in microseconds.
const FRESH_MICROS: i64 = 1_000_000;

/// Pools of an account whose figures are kept: those that are watched just now, mostly one or none.
const STANDINGS_MAX: usize = 16;

/// A balance waits for the ledger at most so long.
const LEDGER_WITHIN: Duration = Duration::from_secs(1);

/// A run that this wallet knows; its handles are sealed once no lock is held.
struct Found {
    view: RunView,
    handle: Option<ToSeal>,
    parent: Option<ToSeal>,
}

impl<U: Upstream> Core<U> {
    pub async fn reservation(&self, lookup: Lookup, patience: Option<Duration>) -> Result<RunView, Refused> {
        match lookup {
            Lookup::Handle(given) => self.by_handle(&given, patience).await,
            Lookup::Request(account, request) => {
                match self.by_request(&account, &request, AUTHORIZE, patience).await {
                    Err(why) if is_unknown(&why) => {
                        self.by_request(&account, &request, RECORD, patience).await
                    }
                    found => found,
                }
            }
        }
    }

    async fn by_handle(&self, given: &Given, patience: Option<Duration>) -> Result<RunView, Refused> {
        let id = given.claim.id;
        let account = &given.claim.account;
        let came = self
            .drive(account, patience, |desk, link| {
                let Some(handle) = opened(desk, given, link)? else { return Ok(Turn::Lease(Box::default())) };
                match (found(desk, id, self.id), link) {
                    (Some(found), _) => Ok(Turn::Done { answer: found, wait: None }),
                    (None, Link::Untried) => {
                        Ok(Turn::Decide(Box::new(RunAsk::State(id, Some(Box::new(handle))))))
                    }
                    (None, _) => Err(Refused::NotReady("the ledger settles this run, and does not answer")),
                }
            })
            .await?;
        match came {
            Came::Here { answer, .. } => Ok(answer.seal(None)),
            Came::Ledger(RunReply::Run(answer)) => Ok(self.claimed(account, given, *answer)),
            Came::Ledger(_) => Err(Fault::ReservationUnknown(id).into()),
        }
    }

    async fn by_request(
        &self,
        account: &AccountId,
        request: &RequestId,
        operation: &str,
        patience: Option<Duration>,
    ) -> Result<RunView, Refused> {
        let mut id = ReservationId::default();
        let came = self
            .drive(account, patience, |desk, link| {
                let Some(key) = desk.slot.wallet.terms.as_ref().map(|terms| terms.key) else {
                    return unknown(link);
                };
                id = handle::reservation_id(&key, account, operation, request);
                match (found(desk, id, self.id), link) {
                    (Some(found), _) => Ok(Turn::Done { answer: found, wait: None }),
                    (None, Link::Untried) => Ok(Turn::Decide(Box::new(RunAsk::State(id, None)))),
                    (None, _) => {
                        Err(Refused::NotReady("no such run is known here, and the ledger does not answer"))
                    }
                }
            })
            .await?;
        match came {
            Came::Here { answer, .. } => Ok(answer.seal(Some(request.clone()))),
            // The ledger tells a run's figures; what it was asked for is in its handle, which only its caller has.
            Came::Ledger(RunReply::Run(answer)) => Ok(RunView {
                account: account.clone(),
                handle: String::new(),
                answer: *answer,
                run: None,
                request_id: Some(request.clone()),
                result: None,
                used: None,
                authorized_at: None,
                version: 0,
                by_ledger: true,
                parent: None,
                at: self.shards.clock.now(),
            }),
            Came::Ledger(_) => Err(Fault::ReservationUnknown(id).into()),
        }
    }

    /// A run that the ledger knows, with what its handle says.
    fn claimed(&self, account: &AccountId, given: &Given, answer: RunAnswer) -> RunView {
        let claim: &Handle = &given.claim;
        RunView {
            account: account.clone(),
            handle: given.text.clone(),
            answer,
            run: Some(Run {
                action: claim.action.clone(),
                subject: claim.subject.clone().unwrap_or_default(),
                quantities: claim.quantities.clone().unwrap_or(Quantities::Meters(Vec::new())),
                dimensions: claim.dimensions.clone().unwrap_or_default(),
                run_id: claim.run_id.clone(),
                parent: None,
                retry_of: None,
            }),
            request_id: None,
            result: None,
            used: None,
            authorized_at: Some(claim.authorized_at),
            version: claim.version,
            by_ledger: true,
            parent: None,
            at: self.shards.clock.now(),
        }
    }

    pub async fn reservations(&self, question: ListQuestion) -> Result<Vec<RunView>, Refused> {
        let accounts = match &question.account {
            Some(account) => vec![account.clone()],
            None => self.shards.accounts(),
        };
        let mut runs: Vec<Found> = Vec::new();
        for account in accounts {
            let open = self.shards.visit(&account, |desk| open_runs(desk, &question, self.id));
            runs.extend(open.and_then(Result::ok).into_iter().flatten());
            // Only the oldest are kept: a page is all that is answered.
            runs.sort_by_key(|found| (found.view.authorized_at, found.view.answer.id));
            runs.truncate(question.most);
        }
        Ok(runs.into_iter().map(|found| found.seal(None)).collect())
    }

    pub async fn plan(
        &self,
        account: &AccountId,
        patience: Option<Duration>,
    ) -> Result<(Arc<Plan>, Arc<Playbook>), Refused> {
        let came = self
            .drive(account, patience, |desk, link| match &desk.slot.wallet.contract {
                Some(contract) => {
                    let answer = (contract.plan.clone(), contract.playbook.clone());
                    Ok(Turn::Done { answer, wait: None })
                }
                None => unknown(link),
            })
            .await?;
        match came {
            Came::Here { answer, .. } => Ok(answer),
            Came::Ledger(_) => Err(Fault::AccountUnknown.into()),
        }
    }

    pub async fn balance(
        &self,
        account: &AccountId,
        pool: Option<PoolId>,
        patience: Option<Duration>,
    ) -> Result<BalanceView, Refused> {
        let (plan, _) = self.plan(account, patience).await?;
        if let Some(pool) = pool.as_ref().filter(|pool| !has_pool(&plan.pooling, pool)) {
            return Err(Refused::PoolUnknown(pool.clone()));
        }
        self.refresh(account, pool.as_ref(), patience).await;
        let view = self.shards.visit(account, |desk| balance(desk, pool.as_ref()));
        view.unwrap_or(Err(Refused::NotReady("the account has just left memory")))?
            .ok_or_else(|| Fault::AccountUnknown.into())
    }

    /// Asks the ledger for the balance, where it is in reach and its last word is out of date.
    async fn refresh(&self, account: &AccountId, pool: Option<&PoolId>, patience: Option<Duration>) {
        let wait = patience.unwrap_or(LEDGER_WITHIN).min(LEDGER_WITHIN);
        let heard = async {
            let turn = self.shards.visit(account, |desk| desk.slot.turn())?.ok()?;
            let _held = turn.lock().await;
            let asked = self.shards.visit(account, |desk| {
                let slot = &*desk.slot;
                told(slot, pool, desk.here.at).is_none().then(|| (slot.last, slot.wallet.totals()))
            });
            let (last, totals) = asked?.ok()??;
            let ask = RunAsk::Balance(Box::new(totals), pool.cloned());
            let Ok(RunReply::Balance(standing)) = self.pass(account, wait, &ask, &[]).await else {
                return None;
            };
            self.shards.visit(account, |desk| {
                desk.slot.heard_at = standing.at;
                keep(desk.slot, last, *standing);
            })
        };
        if self.link.is_online() {
            // What is known already is answered where the ledger takes too long.
            let _late = tokio::time::timeout(wait, heard).await;
        }
    }
}

impl Found {
    fn seal(self, request_id: Option<RequestId>) -> RunView {
        RunView {
            handle: self.handle.map(ToSeal::seal).unwrap_or_default(),
            parent: self.parent.map(ToSeal::seal),
            request_id,
            ..self.view
        }
    }
}

fn unknown<L>(link: Link) -> Result<Turn<L>, Refused> {
    match link {
        Link::Untried => Ok(Turn::Lease(Box::default())),
        Link::Asked => Err(Fault::AccountUnknown.into()),
        Link::Unreachable => {
            Err(Refused::NotReady("the ledger does not answer, and this account is not known here yet"))
        }
    }
}

fn is_unknown(why: &Refused) -> bool {
    match why {
        Refused::Fault(Fault::ReservationUnknown(_)) => true,
        Refused::Passed(passed) => passed.is_reservation_unknown(),
        _ => false,
    }
}

fn found(desk: &Desk<'_, '_>, id: ReservationId, settler: SidecarId) -> Option<Found> {
    let wallet = &desk.slot.wallet;
    let answer = wallet.state(id)?;
    let open = wallet.book.runs.get(&id);
    let ended = wallet.book.finals.get(&id);
    let run = open.map(|run| &run.run).or(ended.map(|ended| &ended.run))?;
    let parent = run.parent.and_then(|id| handles::of_known(desk, id, settler));
    let view = RunView {
        account: wallet.account.clone(),
        handle: String::new(),
        answer,
        run: Some(run.clone()),
        request_id: None,
        result: ended.and_then(|ended| ended.result),
        used: open.and_then(|run| run.reported.clone()).or(ended.and_then(|ended| ended.used.clone())),
        authorized_at: open.map(|run| run.authorized_at).or(ended.map(|ended| ended.authorized_at)),
        version: open.map(|run| run.version).or(ended.map(|ended| ended.version)).unwrap_or_default(),
        by_ledger: false,
        parent: None,
        at: desk.here.at,
    };
    Some(Found { view, handle: handles::of_known(desk, id, settler), parent })
}

fn open_runs(desk: &Desk<'_, '_>, question: &ListQuestion, settler: SidecarId) -> Vec<Found> {
    let runs = desk.slot.wallet.book.runs.values();
    let wanted = runs.filter(|run| {
        question.run_id.as_ref().is_none_or(|run_id| run.run.run_id.as_ref() == Some(run_id))
            && question.after.is_none_or(|after| (run.authorized_at, run.id) > after)
            && matches!(run.state, State::Held | State::AwaitingOutcome)
    });
    let mut ids: Vec<_> = wanted.map(|run| (run.authorized_at, run.id)).collect();
    ids.sort_unstable();
    ids.truncate(question.most);
    ids.into_iter().filter_map(|(_, id)| found(desk, id, settler)).collect()
}

/// The ledger's word on a pool, or on all together, where it still holds: it is not old, and nothing has happened here since.
fn told<'s>(slot: &'s Slot, pool: Option<&PoolId>, at: Timestamp) -> Option<&'s Standing> {
    let (last, standing) = slot.standings.get(&pool.cloned())?;
    (*last == slot.last && at.micros_since(standing.at) <= FRESH_MICROS).then_some(standing)
}

/// Keeps the ledger's word on what it is about. Of what nobody asks for any more the oldest goes.
fn keep(slot: &mut Slot, last: u64, standing: Standing) {
    slot.standings.insert(standing.pool.clone(), (last, standing));
    if slot.standings.len() > STANDINGS_MAX {
        let oldest = slot.standings.iter().min_by_key(|(_, (_, standing))| standing.at);
        let oldest = oldest.map(|(pool, _)| pool.clone());
        oldest.and_then(|pool| slot.standings.remove(&pool));
    }
}

/// The balance as the ledger told it or, where it is out of reach, as far as this sidecar knows it.
fn balance(desk: &Desk<'_, '_>, pool: Option<&PoolId>) -> Option<BalanceView> {
    let own = own_balance(desk, pool)?;
    let Some(standing) = told(desk.slot, pool, desk.here.at) else { return Some(own) };
    let told = standing.balance.clone();
    Some(BalanceView {
        available: told.available,
        held: told.held,
        spent: told.spent,
        lapsed: told.lapsed,
        debt: told.debt,
        overage: told.overage,
        by: told.by,
        period_ends: told.period_ends,
        caps: standing
            .caps
            .iter()
            .map(|(key, counter)| (key.clone(), counter.clone(), counter.room()))
            .collect(),
        ..own
    })
}

fn own_balance(desk: &Desk<'_, '_>, pool: Option<&PoolId>) -> Option<BalanceView> {
    let (wallet, at) = (&desk.slot.wallet, desk.here.at);
    let contract = wallet.contract.as_ref()?;
    let here = |id: &PoolId| pool.is_none_or(|pool| pool == id);
    let others = wallet.rest.pools.iter().filter(|(id, _)| here(id)).map(|(_, rest)| *rest);
    let rest = if here(&PoolId::Account) { wallet.rest.balance } else { Credits::ZERO };
    let draws = wallet.book.runs.values().flat_map(|run| &run.held);
    let counts = |id| pool.is_none() || wallet.book.block(id).is_some_and(|block| here(&block.pool));
    let held = draws.filter(|draw| counts(draw.block));
    let mut view = BalanceView {
        available: rest + others.sum::<Credits>(),
        held: held.map(|draw| draw.amount).sum(),
        spent: Credits::ZERO,
        lapsed: Credits::ZERO,
        debt: wallet.book.pools.iter().filter(|pool| here(&pool.id)).map(|pool| pool.debt).sum(),
        overage: Credits::ZERO,
        by: BTreeMap::new(),
        period_ends: contract.period_ends,
        caps: Vec::new(),
        next: Next::after(&contract.plan.overage),
        plan: contract.plan.clone(),
        at,
        as_of: desk.slot.heard_at,
    };
    for block in wallet.book.blocks().filter(|block| here(&block.pool)) {
        view.spent += block.spent;
        view.lapsed += block.lapsed;
        if block.species == Species::Overage {
            view.overage += block.spent;
        }
        if !block.species.is_last_resort() && block.pays(at) && block.available.is_positive() {
            view.available += block.available;
            *view.by.entry(block.species).or_default() += block.available;
        }
    }
    view.caps = wallet
        .book
        .counters
        .iter()
        .filter(|(key, _)| key.window <= at)
        .map(|(key, counter)| {
            let rest = wallet.rest.caps.get(key).copied().unwrap_or_default();
            (key.clone(), counter.clone(), counter.room() + rest)
        })
        .collect();
    Some(view)
}
