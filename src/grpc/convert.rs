//! From wire to questions: decoded once, at the door. Everything wrong with a message is said at once.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::entitlement_api::{
    AuthorizeQuestion, CommitQuestion, Given, ListQuestion, Lookup, Outcome, ProgressQuestion, RecordQuestion,
};
use super::proto::v1;
use crate::credit::{PoolId, Subject};
use crate::engine::handle::Handle;
use crate::playbook::charge::{Quantities, RunResult};
use crate::types::{AccountId, Name, Quantity, RequestId, ReservationId, Timestamp};

/// The most dimensions of one run: each may be part of a handle, which is short.
const DIMENSIONS_MAX: usize = 16;

/// The most meters of one call; an action has a handful.
const METERS_MAX: usize = 64;

/// The most runs of one batch: what fits a message and a caller's patience.
pub const BATCH_MAX: usize = 128;

/// Open runs on one page, where nothing else is asked, and at most.
const PAGE_USUAL: usize = 100;
const PAGE_MAX: usize = 1000;

/// The longest ttl that is read at all: a hundred years. The action's own limit is far below.
const TTL_SECONDS_MAX: i64 = 100 * 366 * 24 * 3600;

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: &'static str,
    pub field: String,
    pub what: String,
}

/// What is wrong with a message; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub Vec<Violation>);

/// Reads the fields of one message and keeps what is wrong with them.
#[derive(Debug, Default)]
struct Reader(Vec<Violation>);

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
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Reader {
    fn fault(&mut self, reason: &'static str, field: impl Into<String>, what: String) {
        self.0.push(Violation { reason, field: field.into(), what });
    }

    fn finish<T>(self, value: Option<T>) -> Read<T> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Invalid(self.0)),
        }
    }

    fn account(&mut self, text: &str) -> Option<AccountId> {
        AccountId::parse(text)
            .map_err(|what| self.fault("INVALID_ACCOUNT", "account", format!("`{}` {what}", shown(text))))
            .ok()
    }

    fn name(&mut self, reason: &'static str, field: &str, text: &str) -> Option<Name> {
        Name::parse(text).map_err(|what| self.fault(reason, field, format!("`{}` {what}", shown(text)))).ok()
    }

    fn name_or_none(&mut self, reason: &'static str, field: &str, text: &str) -> Option<Name> {
        if text.is_empty() { None } else { self.name(reason, field, text) }
    }

    fn request_id(&mut self, text: &str) -> Option<RequestId> {
        if text.is_empty() {
            return None;
        }
        RequestId::parse(text)
            .map_err(|what| {
                self.fault("INVALID_REQUEST_ID", "request_id", format!("`{}` {what}", shown(text)));
            })
            .ok()
    }

    fn subject(&mut self, subject: Option<&v1::Subject>) -> Subject {
        let Some(subject) = subject else { return Subject::default() };
        Subject {
            team: self.name_or_none("INVALID_SUBJECT", "subject.team", &subject.team),
            user: self.name_or_none("INVALID_SUBJECT", "subject.user", &subject.user),
            agent: self.name_or_none("INVALID_SUBJECT", "subject.agent", &subject.agent),
        }
    }

    fn dimensions(&mut self, given: &BTreeMap<String, String>) -> BTreeMap<Name, Name> {
        if given.len() > DIMENSIONS_MAX {
            let what = format!("are {}; a run has at most {DIMENSIONS_MAX}", given.len());
            self.fault("INVALID_DIMENSION", "dimensions", what);
            return BTreeMap::new();
        }
        let mut dimensions = BTreeMap::new();
        for (key, value) in given {
            let field = format!("dimensions[{}]", shown(key));
            let key = self.name("INVALID_DIMENSION", &field, key);
            let value = self.name("INVALID_DIMENSION", &field, value);
            dimensions.extend(key.zip(value));
        }
        dimensions
    }

    fn quantities(
        &mut self,
        [one, many]: [&'static str; 2],
        single: Option<String>,
        meters: &BTreeMap<String, String>,
    ) -> Option<Quantities> {
        if single.is_some() && !meters.is_empty() {
            self.fault("INVALID_QUANTITY", one, format!("is given, and so is `{many}`; give one of them"));
            return None;
        }
        if meters.len() > METERS_MAX {
            let what = format!("names {} meters; a call names at most {METERS_MAX}", meters.len());
            self.fault("INVALID_QUANTITY", many, what);
            return None;
        }
        if let Some(text) = single {
            return self.quantity("INVALID_QUANTITY", one, &text).map(Quantities::Single);
        }
        let mut read = BTreeMap::new();
        for (meter, text) in meters {
            let field = format!("{many}[{}]", shown(meter));
            let meter = self.name("INVALID_QUANTITY", &field, meter);
            let quantity = self.quantity("INVALID_QUANTITY", &field, text);
            read.extend(meter.zip(quantity));
        }
        (!meters.is_empty()).then(|| Quantities::by_meter(read))
    }

    fn quantity(&mut self, reason: &'static str, field: &str, text: &str) -> Option<Quantity> {
        match text.parse::<Quantity>() {
            Ok(quantity) if !quantity.is_negative() => Some(quantity),
            Ok(_) => {
                let what = format!("`{}` is negative; give a total of zero or more", shown(text));
                self.fault(reason, field, what);
                None
            }
            Err(what) => {
                self.fault(reason, field, what.to_string());
                None
            }
        }
    }

    fn completion(&mut self, text: Option<String>) -> Option<Quantity> {
        let text = text?;
        let part = self.quantity("INVALID_COMPLETION", "completion", &text)?;
        if part > Quantity::ONE {
            let what = format!("`{}` is more than the whole; give a part from 0 to 1", shown(&text));
            self.fault("INVALID_COMPLETION", "completion", what);
            return None;
        }
        Some(part)
    }

    fn result(&mut self, number: i32) -> Option<RunResult> {
        match v1::RunResult::try_from(number) {
            Ok(v1::RunResult::Unspecified | v1::RunResult::Succeeded) => Some(RunResult::Succeeded),
            Ok(v1::RunResult::Partial) => Some(RunResult::Partial),
            Ok(v1::RunResult::Failed) => Some(RunResult::Failed),
            Ok(v1::RunResult::Cancelled) => Some(RunResult::Cancelled),
            Err(_) => {
                let what = format!("`{number}` is no result that this version knows; 1 to 4 are");
                self.fault("INVALID_RESULT", "result", what);
                None
            }
        }
    }

    fn ttl(&mut self, given: Option<prost_types::Duration>) -> Option<i64> {
        let given = given?;
        let whole = given.seconds.clamp(-TTL_SECONDS_MAX, TTL_SECONDS_MAX + 1);
        let micros = whole * 1_000_000 + i64::from(given.nanos) / 1000;
        if micros <= 0 || whole > TTL_SECONDS_MAX {
            let what =
                "is not a time to live; give at least a microsecond and at most what the action allows";
            self.fault("INVALID_TTL", "ttl", what.to_owned());
            return None;
        }
        Some(micros)
    }

    fn handle(&mut self, field: &'static str, text: String) -> Option<Given> {
        // A claim of an account that could not exist was not made by any key.
        let claim = Handle::peek(&text).ok().filter(|claim| AccountId::parse(claim.account.as_str()).is_ok());
        if claim.is_none() {
            let what = "is not a handle that `Authorize` answered; pass it on as it was";
            self.fault("INVALID_HANDLE", field, what.to_owned());
        }
        claim.map(|claim| Given { text, claim })
    }

    fn handle_or_none(&mut self, field: &'static str, text: String) -> Option<Given> {
        if text.is_empty() { None } else { self.handle(field, text) }
    }

    fn page(&mut self, token: &str) -> Option<(Timestamp, ReservationId)> {
        if token.is_empty() {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| <[u8; 24]>::try_from(bytes).ok());
        let place = bytes.and_then(|bytes| {
            let (time, rest) = bytes.split_first_chunk::<8>()?;
            let id = <[u8; 16]>::try_from(rest).ok()?;
            Some((Timestamp::from_micros(i64::from_be_bytes(*time)), ReservationId(id)))
        });
        if place.is_none() {
            let what = "is not a `next_page_token` that a page before answered";
            self.fault("INVALID_PAGE", "page_token", what.to_owned());
        }
        place
    }
}

/// Input in a message: short, and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
