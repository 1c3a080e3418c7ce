//! The fields of messages, read one by one; what is wrong is collected, each with the reason that names its kind.

use std::collections::BTreeMap;

use base64_simd::URL_SAFE_NO_PAD;

use super::entitlement_api::Given;
use super::proto::v1;
use crate::credit::Subject;
use crate::engine::handle::Handle;
use crate::playbook::charge::{Quantities, RunResult};
use crate::types::{AccountId, Name, Quantity, RequestId, ReservationId, Timestamp};

/// The most dimensions of one run: each may be part of a handle, which is short.
const DIMENSIONS_MAX: usize = 16;

/// The most meters of one call; an action has a handful.
const METERS_MAX: usize = 64;

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
pub(super) struct Reader(Vec<Violation>);

impl Reader {
    pub(super) fn fault(&mut self, reason: &'static str, field: impl Into<String>, what: String) {
        self.0.push(Violation { reason, field: field.into(), what });
    }

    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Invalid> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Invalid(self.0)),
        }
    }

    pub(super) fn account(&mut self, text: &str) -> Option<AccountId> {
        AccountId::parse(text)
            .map_err(|what| self.fault("INVALID_ACCOUNT", "account", format!("`{}` {what}", shown(text))))
            .ok()
    }

    pub(super) fn name(&mut self, reason: &'static str, field: &str, text: &str) -> Option<Name> {
        Name::parse(text).map_err(|what| self.fault(reason, field, format!("`{}` {what}", shown(text)))).ok()
    }

    pub(super) fn name_or_none(&mut self, reason: &'static str, field: &str, text: &str) -> Option<Name> {
        if text.is_empty() { None } else { self.name(reason, field, text) }
    }

    pub(super) fn request_id(&mut self, text: &str) -> Option<RequestId> {
        if text.is_empty() {
            return None;
        }
        RequestId::parse(text)
            .map_err(|what| {
                self.fault("INVALID_REQUEST_ID", "request_id", format!("`{}` {what}", shown(text)));
            })
            .ok()
    }

    pub(super) fn subject(&mut self, subject: Option<&v1::Subject>) -> Subject {
        let Some(subject) = subject else { return Subject::default() };
        Subject {
            team: self.name_or_none("INVALID_SUBJECT", "subject.team", &subject.team),
            user: self.name_or_none("INVALID_SUBJECT", "subject.user", &subject.user),
            agent: self.name_or_none("INVALID_SUBJECT", "subject.agent", &subject.agent),
        }
    }

    pub(super) fn dimensions(&mut self, given: &BTreeMap<String, String>) -> BTreeMap<Name, Name> {
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

    pub(super) fn quantities(
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

    pub(super) fn completion(&mut self, text: Option<String>) -> Option<Quantity> {
        let text = text?;
        let part = self.quantity("INVALID_COMPLETION", "completion", &text)?;
        if part > Quantity::ONE {
            let what = format!("`{}` is more than the whole; give a part from 0 to 1", shown(&text));
            self.fault("INVALID_COMPLETION", "completion", what);
            return None;
        }
        Some(part)
    }

    pub(super) fn result(&mut self, number: i32) -> Option<RunResult> {
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

    pub(super) fn ttl(&mut self, given: Option<prost_types::Duration>) -> Option<i64> {
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

    pub(super) fn handle(&mut self, field: &'static str, text: String) -> Option<Given> {
        // A claim of an account that could not exist was not made by any key.
        let claim = Handle::peek(&text).ok().filter(|claim| AccountId::parse(claim.account.as_str()).is_ok());
        if claim.is_none() {
            let what = "is not a handle that `Authorize` answered; pass it on as it was";
            self.fault("INVALID_HANDLE", field, what.to_owned());
        }
        claim.map(|claim| Given { text, claim })
    }

    pub(super) fn handle_or_none(&mut self, field: &'static str, text: String) -> Option<Box<Given>> {
        if text.is_empty() { None } else { self.handle(field, text).map(Box::new) }
    }

    pub(super) fn page(&mut self, token: &str) -> Option<(Timestamp, ReservationId)> {
        if token.is_empty() {
            return None;
        }
        let bytes =
            URL_SAFE_NO_PAD.decode_to_vec(token).ok().and_then(|bytes| <[u8; 24]>::try_from(bytes).ok());
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
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
