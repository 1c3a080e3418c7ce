//! From wire to questions: decoded once, at the door. Everything wrong with a message is said at once.

use base64_simd::URL_SAFE_NO_PAD;

use super::entitlement_api::{
    AuthorizeQuestion, CommitQuestion, Given, ListQuestion, Lookup, Outcome, ProgressQuestion, RecordQuestion,
};
pub use super::field::{Invalid, Violation};
use super::field::{Reader, shown};
use super::proto::v1;
use crate::credit::PoolId;
use crate::types::{AccountId, ReservationId, Timestamp};

/// The most runs of one batch: what fits a message and a caller's patience.
pub const BATCH_MAX: usize = 128;

/// Open runs on one page, where nothing else is asked, and at most.
const PAGE_USUAL: usize = 100;
const PAGE_MAX: usize = 1000;

type Read<T> = Result<T, Invalid>;

pub fn authorize(message: v1::AuthorizeRequest) -> Read<AuthorizeQuestion> {
    let mut read = Reader::default();
    let account = read.account(&message.account);
    let action = read.name("INVALID_ACTION", "action", &message.action);
    let subject = read.subject(message.subject.as_ref());
    let quantities = read.quantities(["quantity", "quantities"], message.quantity, &message.quantities);
    let dimensions = read.dimensions(&message.dimensions);
    let run_id = read.name_or_none("INVALID_RUN_ID", "run_id", &message.run_id);
    let parent = read.handle_or_none("parent", message.parent);
    let retry_of = read.handle_or_none("retry_of", message.retry_of);
    let request_id = read.request_id(&message.request_id);
    let ttl = read.ttl(message.ttl);
    let validate_only = message.validate_only;
    let question = account.zip(action).map(|(account, action)| AuthorizeQuestion {
        account,
        action,
        subject,
        quantities,
        dimensions,
        run_id,
        parent,
        retry_of,
        request_id,
        ttl,
        validate_only,
    });
    read.finish(question)
}

pub fn record(message: v1::RecordRequest) -> Read<RecordQuestion> {
    let mut read = Reader::default();
    let account = read.account(&message.account);
    let action = read.name("INVALID_ACTION", "action", &message.action);
    let subject = read.subject(message.subject.as_ref());
    let quantities = read.quantities(["quantity", "quantities"], message.quantity, &message.quantities);
    let dimensions = read.dimensions(&message.dimensions);
    let run_id = read.name_or_none("INVALID_RUN_ID", "run_id", &message.run_id);
    let parent = read.handle_or_none("parent", message.parent);
    let retry_of = read.handle_or_none("retry_of", message.retry_of);
    let request_id = read.request_id(&message.request_id);
    let result = read.result(message.result);
    let completion = read.completion(message.completion);
    let question = account.zip(action).zip(result).map(|((account, action), result)| RecordQuestion {
        outcome: Outcome {
            result,
            quantities: quantities.clone(),
            completion,
            verified: message.verified,
            request_id: request_id.clone(),
        },
        run: AuthorizeQuestion {
            account,
            action,
            subject,
            quantities,
            dimensions,
            run_id,
            parent,
            retry_of,
            request_id,
            ttl: None,
            validate_only: false,
        },
    });
    read.finish(question)
}

pub fn progress(message: v1::ProgressRequest) -> Read<ProgressQuestion> {
    let mut read = Reader::default();
    let handle = read.handle("reservation", message.reservation);
    let quantities = read.quantities(["quantity", "quantities"], message.quantity, &message.quantities);
    let ahead = read.quantities(["ahead", "ahead_quantities"], message.ahead, &message.ahead_quantities);
    let ttl = read.ttl(message.ttl);
    read.request_id(&message.request_id);
    let question = handle.map(|handle| ProgressQuestion { handle, quantities, ahead, ttl });
    read.finish(question)
}

pub fn commit(message: v1::CommitRequest) -> Read<CommitQuestion> {
    let mut read = Reader::default();
    let handle = read.handle("reservation", message.reservation);
    let quantities = read.quantities(["quantity", "quantities"], message.quantity, &message.quantities);
    let result = read.result(message.result);
    let completion = read.completion(message.completion);
    let request_id = read.request_id(&message.request_id);
    let verified = message.verified;
    let question = handle.zip(result).map(|(handle, result)| CommitQuestion {
        handle,
        outcome: Outcome { result, quantities, completion, verified, request_id },
    });
    read.finish(question)
}

pub fn release(message: v1::ReleaseRequest) -> Read<Given> {
    let mut read = Reader::default();
    let handle = read.handle("reservation", message.reservation);
    read.request_id(&message.request_id);
    read.finish(handle)
}

pub fn lookup(message: v1::GetReservationRequest) -> Read<Lookup> {
    let mut read = Reader::default();
    let by_request = !message.account.is_empty() || !message.request_id.is_empty();
    if message.reservation.is_empty() != by_request {
        let what = "give either the handle, or the account and the request id";
        read.fault("INVALID_LOOKUP", "reservation", what.to_owned());
        return read.finish(None);
    }
    if !by_request {
        let handle = read.handle("reservation", message.reservation);
        return read.finish(handle.map(|handle| Lookup::Handle(Box::new(handle))));
    }
    let account = read.account(&message.account);
    if message.request_id.is_empty() {
        read.fault("INVALID_REQUEST_ID", "request_id", "is empty; give the id of the call".to_owned());
    }
    let request = read.request_id(&message.request_id);
    read.finish(account.zip(request).map(|(account, request)| Lookup::Request(account, request)))
}

pub fn list(message: &v1::ListReservationsRequest) -> Read<ListQuestion> {
    let mut read = Reader::default();
    if message.account.is_empty() && message.run_id.is_empty() {
        let what = "give an account, a run id, or both";
        read.fault("INVALID_LOOKUP", "account", what.to_owned());
    }
    let account = if message.account.is_empty() { None } else { read.account(&message.account) };
    let run_id = read.name_or_none("INVALID_RUN_ID", "run_id", &message.run_id);
    let most = match usize::try_from(message.page_size) {
        Ok(0) => PAGE_USUAL,
        Ok(size) => size.min(PAGE_MAX),
        Err(_) => {
            let what = format!("`{}` is negative; 0 stands for {PAGE_USUAL}", message.page_size);
            read.fault("INVALID_PAGE", "page_size", what);
            PAGE_USUAL
        }
    };
    let after = read.page(&message.page_token);
    read.finish(Some(ListQuestion { account, run_id, after, most }))
}

pub fn balance(message: &v1::GetBalanceRequest) -> Read<(AccountId, Option<PoolId>)> {
    let mut read = Reader::default();
    let account = read.account(&message.account);
    let pool = (!message.pool.is_empty()).then(|| PoolId::parse(&message.pool));
    if pool == Some(None) {
        let what = format!("`{}` is no pool; `account`, `team:T` and `user:U` are", shown(&message.pool));
        read.fault("INVALID_POOL", "pool", what);
    }
    read.finish(account.map(|account| (account, pool.flatten())))
}

/// Whom to watch, and the run that was refused.
pub fn watch_balance(
    message: v1::WatchBalanceRequest,
) -> Read<(AccountId, Option<PoolId>, Option<AuthorizeQuestion>)> {
    let v1::WatchBalanceRequest { account, pool, refused } = message;
    let (account, pool) = balance(&v1::GetBalanceRequest { account, pool })?;
    let refused = refused.map(authorize).transpose()?;
    let refused = refused.map(|run| AuthorizeQuestion { validate_only: true, request_id: None, ..run });
    let mut read = Reader::default();
    if refused.as_ref().is_some_and(|run| run.account != account) {
        read.fault(
            "INVALID_ACCOUNT",
            "refused.account",
            "is another account than the one watched".to_owned(),
        );
    }
    read.finish(Some((account, pool, refused)))
}

pub fn account(text: &str) -> Read<AccountId> {
    let mut read = Reader::default();
    let account = read.account(text);
    read.finish(account)
}

/// A batch's size; its requests are each their own matter.
pub fn batch(size: usize) -> Read<()> {
    if (1..=BATCH_MAX).contains(&size) {
        return Ok(());
    }
    let what = format!("has {size} requests; a batch has 1 to {BATCH_MAX}");
    Err(Invalid(vec![Violation { reason: "INVALID_BATCH", field: "requests".to_owned(), what }]))
}

/// Where a page ends: what the next one is asked with.
pub fn page_token(at: Timestamp, id: ReservationId) -> String {
    let mut bytes = [0; 24];
    let (time, rest) = bytes.split_at_mut(8);
    time.copy_from_slice(&at.micros().to_be_bytes());
    rest.copy_from_slice(&id.0);
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
