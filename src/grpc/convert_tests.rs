use std::collections::BTreeMap;

use super::*;
use crate::credit::Subject;
use crate::grpc::status::of_invalid;
use crate::playbook::charge::{Quantities, RunResult};

/// The reason and the fields of what is wrong with a message.
fn check<T: std::fmt::Debug>(read: Read<T>, reason: &str, field: &str) {
    let Invalid(violations) = read.expect_err(field);
    assert_eq!((violations[0].reason, violations[0].field.as_str()), (reason, field), "{violations:?}");
    assert_eq!(of_invalid(Invalid(violations)).code(), tonic::Code::InvalidArgument);
}

fn asks() -> v1::AuthorizeRequest {
    v1::AuthorizeRequest {
        account: "acme".to_owned(),
        action: "draft".to_owned(),
        ..v1::AuthorizeRequest::default()
    }
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn what_is_left_out_is_nothing() {
    let question = authorize(asks()).unwrap();
    assert_eq!((question.account.as_str(), question.action.as_str()), ("acme", "draft"));
    assert!(question.quantities.is_none() && question.request_id.is_none() && question.ttl.is_none());
    assert_eq!(question.subject, Subject::default());
}

#[test]
fn each_field_of_an_authorize_has_its_reason() {
    let long = "x".repeat(129);
    let subject = |user: &str| Some(v1::Subject { user: user.to_owned(), ..v1::Subject::default() });
    let ttl = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let many = (0..17).map(|n| (n.to_string(), "x".to_owned())).collect();
    for (message, reason, field) in [
        (v1::AuthorizeRequest { account: String::new(), ..asks() }, "INVALID_ACCOUNT", "account"),
        (v1::AuthorizeRequest { account: "a/b".to_owned(), ..asks() }, "INVALID_ACCOUNT", "account"),
        (v1::AuthorizeRequest { action: long.clone(), ..asks() }, "INVALID_ACTION", "action"),
        (v1::AuthorizeRequest { subject: subject("a\nb"), ..asks() }, "INVALID_SUBJECT", "subject.user"),
        (v1::AuthorizeRequest { dimensions: many, ..asks() }, "INVALID_DIMENSION", "dimensions"),
        (
            v1::AuthorizeRequest { dimensions: map([("model", "")]), ..asks() },
            "INVALID_DIMENSION",
            "dimensions[model]",
        ),
        (v1::AuthorizeRequest { run_id: long.clone(), ..asks() }, "INVALID_RUN_ID", "run_id"),
        (v1::AuthorizeRequest { request_id: long.clone(), ..asks() }, "INVALID_REQUEST_ID", "request_id"),
        (v1::AuthorizeRequest { parent: "no handle".to_owned(), ..asks() }, "INVALID_HANDLE", "parent"),
        (v1::AuthorizeRequest { retry_of: "A".repeat(513), ..asks() }, "INVALID_HANDLE", "retry_of"),
        (v1::AuthorizeRequest { ttl: ttl(0, 0), ..asks() }, "INVALID_TTL", "ttl"),
        (v1::AuthorizeRequest { ttl: ttl(-1, 0), ..asks() }, "INVALID_TTL", "ttl"),
        (v1::AuthorizeRequest { ttl: ttl(0, -1), ..asks() }, "INVALID_TTL", "ttl"),
        (v1::AuthorizeRequest { ttl: ttl(i64::MAX, 0), ..asks() }, "INVALID_TTL", "ttl"),
        (
            v1::AuthorizeRequest { quantities: map([("input", "-1")]), ..asks() },
            "INVALID_QUANTITY",
            "quantities[input]",
        ),
    ] {
        check(authorize(message), reason, field);
    }
}

#[test]
fn a_quantity_is_a_plain_decimal_of_zero_or_more() {
    for text in ["-1", "abc", "1e3", "", " 1", "+1", "1,5", "NaN", "0.1234567891", "10000000000000000"] {
        let message = v1::AuthorizeRequest { quantity: Some(text.to_owned()), ..asks() };
        check(authorize(message), "INVALID_QUANTITY", "quantity");
    }
    let both =
        v1::AuthorizeRequest { quantity: Some("1".to_owned()), quantities: map([("input", "1")]), ..asks() };
    check(authorize(both), "INVALID_QUANTITY", "quantity");
    let half = v1::AuthorizeRequest { quantity: Some("0.5".to_owned()), ..asks() };
    let wanted = Quantities::Single("0.5".parse().unwrap());
    assert_eq!(authorize(half).unwrap().quantities, Some(wanted));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let message = v1::AuthorizeRequest { quantity: Some("-1".to_owned()), ..v1::AuthorizeRequest::default() };
    let Invalid(violations) = authorize(message).unwrap_err();
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["account", "action", "quantity"]);
}

#[test]
fn results_and_completions() {
    let work = |result: i32, completion: Option<&str>| v1::RecordRequest {
        account: "acme".to_owned(),
        action: "draft".to_owned(),
        result,
        completion: completion.map(str::to_owned),
        ..v1::RecordRequest::default()
    };
    check(record(work(99, None)), "INVALID_RESULT", "result");
    for completion in ["1.1", "-0.5", "half", ""] {
        check(record(work(2, Some(completion))), "INVALID_COMPLETION", "completion");
    }
    let question = record(work(0, Some("0.5"))).unwrap();
    assert_eq!(question.outcome.result, RunResult::Succeeded);
}

#[test]
fn lookups_go_one_way() {
    let get = |reservation: &str, account: &str, request_id: &str| v1::GetReservationRequest {
        reservation: reservation.to_owned(),
        account: account.to_owned(),
        request_id: request_id.to_owned(),
    };
    check(lookup(get("", "", "")), "INVALID_LOOKUP", "reservation");
    check(lookup(get("h", "acme", "r")), "INVALID_LOOKUP", "reservation");
    check(lookup(get("h", "", "")), "INVALID_HANDLE", "reservation");
    check(lookup(get("", "acme", "")), "INVALID_REQUEST_ID", "request_id");
    assert!(matches!(lookup(get("", "acme", "r")), Ok(Lookup::Request(..))));

    let page = |account: &str, page_size: i32, page_token: &str| v1::ListReservationsRequest {
        account: account.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
        ..v1::ListReservationsRequest::default()
    };
    check(list(&page("", 0, "")), "INVALID_LOOKUP", "account");
    check(list(&page("acme", -1, "")), "INVALID_PAGE", "page_size");
    check(list(&page("acme", 0, "no token")), "INVALID_PAGE", "page_token");
    let place = (Timestamp::from_micros(7), ReservationId([9; 16]));
    let next = list(&page("acme", 5000, &page_token(place.0, place.1))).unwrap();
    assert_eq!((next.after, next.most), (Some(place), PAGE_MAX));
}

#[test]
fn pools_and_batches() {
    let ask = |pool: &str| v1::GetBalanceRequest { account: "acme".to_owned(), pool: pool.to_owned() };
    check(balance(&ask("no pool")), "INVALID_POOL", "pool");
    assert_eq!(balance(&ask("account")).unwrap().1, Some(PoolId::Account));
    check(batch(0), "INVALID_BATCH", "requests");
    check(batch(BATCH_MAX + 1), "INVALID_BATCH", "requests");
    assert!(batch(BATCH_MAX).is_ok());
}
