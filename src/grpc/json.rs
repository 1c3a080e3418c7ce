//! Messages as JSON, with the protos' own field names: what `--json` prints.
//!
//! As protobuf's JSON, but for two things: names stay `snake_case` as the protos write them, and 64-bit integers are
//! numbers. Fields without presence are always there; messages and optional fields only where they are set.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage,
    Value as Field,
};
use serde_json::{Map, Number, Value};

use super::proto::{DESCRIPTORS, ledger_v1, v1};

/// A message whose name is known, so that it can be shown.
pub trait Named: Message {
    /// Its full name in the protos.
    const NAME: &'static str;
}

macro_rules! named {
    ($( $package:ident = $prefix:literal { $( $message:ident )+ } )+) => {
        $( $(
            impl Named for $package::$message {
                const NAME: &'static str = concat!($prefix, stringify!($message));
            }
        )+ )+

        #[cfg(test)]
        const NAMES: &[&str] = &[ $( $( concat!($prefix, stringify!($message)) ),+ ),+ ];
    };
}

named! {
    v1 = "bursar.v1." {
        AuthorizeResponse ProgressResponse CommitResponse ReleaseResponse RecordResponse
        GetReservationResponse ListReservationsResponse GetBalanceResponse GetFeaturesResponse
    }
    ledger_v1 = "bursar.ledger.v1." {
        SubscribeResponse SuspendResponse ResumeResponse GrantResponse VoidResponse SetOverageLimitResponse
        GetAccountResponse ListAccountsResponse GetBalanceResponse ListInvoiceLinesResponse ListAlertsResponse
        ChangePlanResponse SetSeatsResponse CancelResponse SetCapResponse PurchaseResponse AwardResponse
        AllocateResponse TransferResponse RefundResponse GetUsageResponse PlaybookServiceDiffResponse
        Alert InvoiceLine ListEntriesResponse AuditEntry VerifyResponse
        PlaybookServicePublishResponse PlaybookServiceGetResponse PlaybookServiceListResponse
    }
}

/// The message as JSON; enumerations by their full names, such as `DECISION_ALLOWED`.
pub fn json<M: Named>(message: &M) -> Value {
    Shape { short: false }.message(&dynamic(message))
}

/// The same for people: enumerations without what their type's name says already (`ALLOWED`).
pub fn plain<M: Named>(message: &M) -> Value {
    Shape { short: true }.message(&dynamic(message))
}

#[expect(clippy::expect_used, reason = "constants of the build: a test decodes them and finds every name")]
fn dynamic<M: Named>(message: &M) -> DynamicMessage {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTORS).expect("descriptors of this build"));
    let descriptor = pool.get_message_by_name(M::NAME).expect("a message of the protos");
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).expect("a message of its own type");
    dynamic
}

struct Shape {
    short: bool,
}

impl Shape {
    fn message(&self, message: &DynamicMessage) -> Value {
        match message.descriptor().full_name() {
            "google.protobuf.Timestamp" => instant(message),
            "google.protobuf.Duration" => length(message),
            "google.protobuf.Value" => self.one_of(message),
            "google.protobuf.Struct" => self.only_field(message, "fields"),
            "google.protobuf.ListValue" => self.only_field(message, "values"),
            _ => self.fields(message),
        }
    }

    fn fields(&self, message: &DynamicMessage) -> Value {
        let mut out = Map::new();
        for field in message.descriptor().fields() {
            if field.supports_presence() && !message.has_field(&field) {
                continue;
            }
            out.insert(field.name().to_owned(), self.field(&field, &message.get_field(&field)));
        }
        Value::Object(out)
    }

    fn field(&self, field: &FieldDescriptor, value: &Field) -> Value {
        match value {
            Field::List(list) if field.cardinality() == Cardinality::Repeated => {
                Value::Array(list.iter().map(|one| self.scalar(&field.kind(), one)).collect())
            }
            Field::Map(map) => {
                let Kind::Message(entry) = field.kind() else { return Value::Null };
                let kind = entry.map_entry_value_field().kind();
                let mut entries: Vec<_> =
                    map.iter().map(|(key, one)| (self.key(key), self.scalar(&kind, one))).collect();
                entries.sort_by(|(one, _), (other, _)| one.cmp(other));
                Value::Object(entries.into_iter().collect())
            }
            one => self.scalar(&field.kind(), one),
        }
    }

    fn scalar(&self, kind: &Kind, value: &Field) -> Value {
        match value {
            Field::Bool(yes) => Value::Bool(*yes),
            Field::I32(number) => (*number).into(),
            Field::I64(number) => (*number).into(),
            Field::U32(number) => (*number).into(),
            Field::U64(number) => (*number).into(),
            Field::F32(number) => self.number(f64::from(*number)),
            Field::F64(number) => self.number(*number),
            Field::String(text) => Value::String(text.clone()),
            Field::Bytes(bytes) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            Field::EnumNumber(number) => self.enumeration(kind, *number),
            Field::Message(message) => self.message(message),
            Field::List(_) | Field::Map(_) => Value::Null,
        }
    }

    fn enumeration(&self, kind: &Kind, number: i32) -> Value {
        let Kind::Enum(descriptor) = kind else { return number.into() };
        // A newer server may know words that this build does not.
        let Some(value) = descriptor.get_value(number) else { return number.into() };
        let prefix = descriptor.default_value().name().trim_end_matches("UNSPECIFIED").to_owned();
        let short = value.name().strip_prefix(&prefix).filter(|_| self.short);
        Value::String(match short {
            Some("UNSPECIFIED") => String::new(),
            Some(word) => word.to_owned(),
            None => value.name().to_owned(),
        })
    }

    /// A whole number loses nothing by being written without a point.
    fn number(&self, number: f64) -> Value {
        let text = number.to_string();
        let whole = text.parse::<i64>().ok().map(Number::from);
        whole.or_else(|| Number::from_f64(number)).map_or(Value::Null, Value::Number)
    }

    fn key(&self, key: &MapKey) -> String {
        match key {
            MapKey::Bool(yes) => yes.to_string(),
            MapKey::I32(number) => number.to_string(),
            MapKey::I64(number) => number.to_string(),
            MapKey::U32(number) => number.to_string(),
            MapKey::U64(number) => number.to_string(),
            MapKey::String(text) => text.clone(),
        }
    }

    /// `google.protobuf.Value`: whichever of its fields is set; none and `null_value` are null.
    fn one_of(&self, message: &DynamicMessage) -> Value {
        let set = message.fields().next();
        set.filter(|(field, _)| field.name() != "null_value")
            .map_or(Value::Null, |(field, value)| self.field(&field, value))
    }

    fn only_field(&self, message: &DynamicMessage, name: &str) -> Value {
        let field = message.descriptor().get_field_by_name(name);
        field.map_or(Value::Null, |field| self.field(&field, &message.get_field(&field)))
    }
}

fn parts(message: &DynamicMessage) -> (i64, i32) {
    let part = |name| message.get_field_by_name(name);
    let seconds = part("seconds").and_then(|value| value.as_i64()).unwrap_or(0);
    (seconds, part("nanos").and_then(|value| value.as_i32()).unwrap_or(0))
}

fn instant(message: &DynamicMessage) -> Value {
    let (seconds, nanos) = parts(message);
    jiff::Timestamp::new(seconds, nanos).map_or(Value::Null, |at| Value::String(at.to_string()))
}

/// Seconds with their fraction: `899.5s`.
fn length(message: &DynamicMessage) -> Value {
    let (seconds, nanos) = parts(message);
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let fraction = format!(".{:09}", nanos.unsigned_abs());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    Value::String(format!("{sign}{}{fraction}s", seconds.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_types::value::Kind as ValueKind;
    use prost_types::{Duration, ListValue, Timestamp};
    use serde_json::json as expected;

    use super::*;

    #[test]
    fn every_message_has_its_name() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        for name in NAMES {
            assert!(pool.get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn names_are_the_protos_own_and_enumerations_are_words() {
        let answer = v1::CommitResponse {
            state: v1::State::Settled.into(),
            charged: "12.50".to_owned(),
            paid_by: BTreeMap::from([("subscription".to_owned(), "12.50".to_owned())]),
            expires_at: Some(Timestamp { seconds: 0, nanos: 500_000_000 }),
            expires_in: Some(Duration { seconds: 899, nanos: 250_000_000 }),
            ..v1::CommitResponse::default()
        };
        let full = json(&answer);
        assert_eq!(full["state"], "STATE_SETTLED");
        assert_eq!(full["connectivity"], "CONNECTIVITY_UNSPECIFIED");
        assert_eq!(full["paid_by"], expected!({"subscription": "12.50"}));
        assert_eq!(full["expires_at"], "1970-01-01T00:00:00.5Z");
        assert_eq!(full["expires_in"], "899.25s");
        assert_eq!(full["provisional"], false);
        assert_eq!(full["soft_caps_reached"], expected!([]));
        let short = plain(&answer);
        assert_eq!((&short["state"], &short["connectivity"]), (&expected!("SETTLED"), &expected!("")));
    }

    #[test]
    fn what_is_not_set_is_not_there() {
        assert_eq!(json(&v1::GetReservationResponse::default()), expected!({}));
        let run = v1::GetReservationResponse { run: Some(v1::Run::default()) };
        let shown = json(&run);
        assert!(shown["run"].get("quantity").is_none() && shown["run"].get("held").is_some());
    }

    #[test]
    fn features_are_what_they_were_in_the_playbook() {
        let value = |kind| prost_types::Value { kind: Some(kind) };
        let models = ["small", "large"].map(|text| value(ValueKind::StringValue(text.to_owned()))).to_vec();
        let answer = v1::GetFeaturesResponse {
            features: BTreeMap::from([
                ("sso".to_owned(), value(ValueKind::BoolValue(true))),
                ("seats".to_owned(), value(ValueKind::NumberValue(25.0))),
                ("share".to_owned(), value(ValueKind::NumberValue(0.5))),
                ("models".to_owned(), value(ValueKind::ListValue(ListValue { values: models }))),
            ]),
            ..v1::GetFeaturesResponse::default()
        };
        let wanted = expected!({"models": ["small", "large"], "seats": 25, "share": 0.5, "sso": true});
        assert_eq!(json(&answer)["features"], wanted);
    }

    #[test]
    fn an_unknown_word_is_its_number() {
        let answer = v1::CommitResponse { state: 99, ..v1::CommitResponse::default() };
        assert_eq!(json(&answer)["state"], 99);
    }
}
