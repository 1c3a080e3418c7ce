//! Between a step's keys, messages of the wire, and replies.

use std::collections::BTreeMap;

use bursar::grpc::proto::v1;
use bursar::scenario::file;
use bursar::scenario::operation::{Keys, Unread};
use bursar::scenario::value::{Reply, Value};
use bursar::types::Length;
use tonic::{Response, Status};
use tonic_types::StatusExt;

pub type Done = Result<Reply, Unread>;

pub fn settled(
    state: v1::State,
    held: &str,
    charged: &str,
    debt: &str,
    paid_by: &BTreeMap<String, String>,
) -> Reply {
    Reply::from([
        ("state".to_owned(), word(state.as_str_name(), "STATE_")),
        ("held".to_owned(), number(held)),
        ("charged".to_owned(), number(charged)),
        ("debt".to_owned(), number(debt)),
        ("paid_by".to_owned(), by_species(paid_by)),
    ])
}

pub fn answered<T>(answer: Result<Response<T>, Status>) -> Result<T, Unread> {
    answer.map(Response::into_inner).map_err(refused)
}

pub fn refused(status: Status) -> Unread {
    let details = status.get_error_details();
    match details.error_info() {
        Some(info) => Unread::said(&info.reason, &status.message()),
        None => Unread::Wrong(format!("{status:?}")),
    }
}

pub fn owned(keys: &Keys<'_>, key: &str) -> String {
    keys.text(key).unwrap_or_default().to_owned()
}

pub fn map(keys: &Keys<'_>, key: &str) -> BTreeMap<String, String> {
    let entries = keys.node(key).and_then(file::map).unwrap_or_default();
    let text = |node| file::text(node).unwrap_or_default().to_owned();
    entries.iter().map(|entry| (entry.key.clone(), text(&entry.value))).collect()
}

pub fn subject(keys: &Keys<'_>) -> v1::Subject {
    v1::Subject { team: owned(keys, "team"), user: owned(keys, "user"), agent: owned(keys, "agent") }
}

pub fn result(keys: &Keys<'_>) -> Result<i32, Unread> {
    let word = keys.text("result").unwrap_or("SUCCEEDED");
    let result = v1::RunResult::from_str_name(&format!("RUN_RESULT_{word}"));
    Ok(result.ok_or_else(|| format!("`result`: no result is called `{word}`"))?.into())
}

pub fn duration(length: Length) -> prost_types::Duration {
    let micros = length.approximate_micros();
    let nanos = i32::try_from(micros % 1_000_000 * 1000).unwrap();
    prost_types::Duration { seconds: micros / 1_000_000, nanos }
}

pub fn number(text: &str) -> Value {
    text.parse().map_or_else(|_| text.into(), Value::Number)
}

pub fn word(name: &str, prefix: &str) -> Value {
    name.strip_prefix(prefix).unwrap_or(name).into()
}

/// What is unspecified was not said.
pub fn say_words<const N: usize>(reply: &mut Reply, words: [(&str, &str, &str); N]) {
    for (key, name, prefix) in words {
        if !name.ends_with("_UNSPECIFIED") {
            reply.insert(key.to_owned(), word(name, prefix));
        }
    }
}

pub fn by_species(parts: &BTreeMap<String, String>) -> Value {
    Value::Map(parts.iter().map(|(species, amount)| (species.clone(), number(amount))).collect())
}

pub fn list(words: &[String]) -> Value {
    Value::List(words.iter().map(|word| word.as_str().into()).collect())
}

pub fn value(feature: prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match feature.kind {
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::NumberValue(figure)) => number(&figure.to_string()),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(items)) => Value::List(items.values.into_iter().map(value).collect()),
        Some(Kind::StructValue(fields)) => {
            let fields: BTreeMap<_, _> = fields.fields.into_iter().collect();
            Value::Map(fields.into_iter().map(|(key, field)| (key, value(field))).collect())
        }
        Some(Kind::NullValue(_)) | None => "".into(),
    }
}
