//! What was measured, for programs and for people.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::drive::{Driven, End};
use super::pace::Pace;
use super::tally::{Counts, Tally};
use crate::cli::table;

/// The share of answers that were at least as fast, and its name.
const PERCENTILES: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub calls: &'static str,
    pub pace: Pace,
    pub in_flight: usize,
    pub connections: usize,
    pub accounts: u64,
}

impl Asked {
    /// In a few words.
    pub fn title(&self) -> String {
        match self.pace {
            Pace::Closed => format!("{}, closed loop, {} in flight", self.calls, self.in_flight),
            Pace::Open { rate } => format!("{}, open loop, {rate} a second", self.calls),
        }
    }
}

/// The calls with their latencies, those that were made.
pub fn latencies(tally: &Tally) -> Vec<(&'static str, &Histogram<u64>)> {
    let all = [("Authorize", &tally.authorize), ("Commit", &tally.commit), ("both", &tally.run)];
    all.into_iter().filter(|(_, latency)| !latency.is_empty()).collect()
}

/// For programs.
pub fn json(asked: &Asked, driven: &Driven) -> Value {
    let Driven { tally, from, to, not_sent, unanswered, end } = driven;
    let (name, rate, counts_from) = match asked.pace {
        Pace::Closed => ("closed", None, "sent"),
        Pace::Open { rate } => ("open", Some(rate), "due"),
    };
    let seconds = to.since(*from).as_secs_f64();
    let of_calls = |(call, latency)| {
        let mut figures = figures(latency);
        figures.insert("call".to_owned(), json!(call));
        Value::Object(figures)
    };
    json!({
        "loop": name,
        "calls": asked.calls,
        "rate": rate,
        "in_flight": asked.in_flight,
        "connections": asked.connections,
        "accounts": asked.accounts,
        "seconds": seconds,
        "whole": matches!(end, End::Done),
        "answered": tally.answered,
        "failed": tally.failed,
        "unanswered": unanswered,
        "not_sent": not_sent,
        "per_second": if seconds > 0.0 { tally.answered as f64 / seconds } else { 0.0 },
        "latency_counts_from": counts_from,
        "latency": latencies(tally).into_iter().map(of_calls).collect::<Vec<_>>(),
        "late": figures(&tally.late),
        "decisions": counted(&tally.decisions, |(decision, reason, by)| {
            json!({ "decision": decision, "reason": reason, "decided_by": by })
        }),
        "states": counted(&tally.states, |state| json!({ "state": state })),
        "errors": counted(&tally.errors, |(call, code, reason)| {
            json!({ "call": call, "code": code, "reason": reason })
        }),
    })
}

/// Percentiles in microseconds.
fn figures(latency: &Histogram<u64>) -> Map<String, Value> {
    let mut figures = Map::new();
    figures.insert("answers".to_owned(), json!(latency.len()));
    figures.insert("mean_us".to_owned(), json!(latency.mean().round()));
    for (share, name) in PERCENTILES {
        figures.insert(format!("{name}_us"), json!(latency.value_at_quantile(share)));
    }
    figures.insert("max_us".to_owned(), json!(latency.max()));
    figures
}

fn counted<K>(counts: &Counts<K>, say: impl Fn(&K) -> Value) -> Vec<Value> {
    let row = |(what, count): (&K, &u64)| {
        let mut row = say(what);
        if let Some(fields) = row.as_object_mut() {
            fields.insert("count".to_owned(), json!(count));
        }
        row
    };
    counts.iter().map(row).collect()
}

/// For people: the same as tables.
pub fn people(asked: &Asked, driven: &Driven) -> String {
    let whole = json(asked, driven);
    let mut parts = vec![table::fields(&head(asked, driven))];
    let latency: Vec<Value> = table::list(&whole, "latency").iter().map(lengths).collect();
    let columns: Vec<&str> = ["call", "answers", "mean"]
        .into_iter()
        .chain(PERCENTILES.map(|(_, name)| name))
        .chain(["max"])
        .collect();
    let lists: [(&str, &[&str]); 3] = [
        ("decisions", &["decision", "reason", "decided_by", "count"]),
        ("states", &["state", "count"]),
        ("errors", &["call", "code", "reason", "count"]),
    ];
    if !latency.is_empty() {
        parts.push(table::rows(&columns, &latency));
    }
    for (field, columns) in lists {
        let rows: Vec<Value> = table::list(&whole, field).iter().map(short).collect();
        if !rows.is_empty() {
            parts.push(table::rows(columns, &rows));
        }
    }
    parts.join("\n\n")
}

fn head(asked: &Asked, driven: &Driven) -> Value {
    let Driven { tally, from, to, not_sent, unanswered, end } = driven;
    let measured = to.since(*from);
    let some = |count: u64, what: &str| (count > 0).then(|| format!("{count}: {what}"));
    let late = match asked.pace {
        Pace::Closed => None,
        Pace::Open { .. } => {
            let [p99, max] = [tally.late.value_at_quantile(0.99), tally.late.max()].map(length);
            Some(format!("p99 {p99}, max {max}"))
        }
    };
    json!({
        "load": asked.title(),
        "measured": match end {
            End::Done => format!("{measured:.2?}"),
            End::Interrupted => format!("{measured:.2?}, interrupted"),
            End::Stopped(_) => format!("{measured:.2?}, then stopped by what follows"),
        },
        "runs": format!("{} answered, {} failed", tally.answered, tally.failed),
        "a_second": format!("{:.1}", tally.answered as f64 / measured.as_secs_f64().max(f64::MIN_POSITIVE)),
        "not_sent": some(*not_sent, "they would have been later than `--timeout`, and are in no latency"),
        "unanswered": some(*unanswered, "their answers had not come when it ended"),
        "sent_late": late,
        "latency": match asked.pace {
            Pace::Closed => "from sending: a closed loop asks nothing while it waits, so a pause shows in few answers",
            Pace::Open { .. } => "from when each run was due, so a pause shows in every answer that it delayed",
        },
    })
}

/// A row of latencies, in the units that people read.
fn lengths(row: &Value) -> Value {
    let field = |(name, value): (&String, &Value)| match name.strip_suffix("_us") {
        Some(name) => (name.to_owned(), json!(length(value.as_f64().unwrap_or_default() as u64))),
        None => (name.clone(), value.clone()),
    };
    row.as_object().into_iter().flatten().map(field).collect()
}

fn length(micros: u64) -> String {
    format!("{:.2?}", Duration::from_micros(micros))
}

/// A row of names, without what their column says already; what is not set is empty.
fn short(row: &Value) -> Value {
    let field = |(column, value): (&String, &Value)| {
        let name = value.as_str().and_then(|name| name.strip_prefix(&format!("{}_", column.to_uppercase())));
        let name = name.map(|name| json!(if name == "UNSPECIFIED" { "" } else { name }));
        (column.clone(), name.unwrap_or_else(|| value.clone()))
    };
    row.as_object().into_iter().flatten().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::calls::tests::{answer, ended, error};
    use crate::grpc::proto::v1;
    use crate::runtime::Boottime;

    fn driven() -> Driven {
        let mut tally = Tally::new().unwrap();
        let settled =
            v1::CommitResponse { state: v1::State::Settled.into(), ..v1::CommitResponse::default() };
        for number in 0..3 {
            let allowed = answer(v1::Decision::Allowed, v1::Reason::Unspecified);
            tally.add(&ended(number, Ok(allowed), Some(Ok(settled.clone()))));
        }
        tally.add(&ended(3, Ok(answer(v1::Decision::Denied, v1::Reason::CapReached)), None));
        tally.add(&ended(4, Err(error("UNAVAILABLE", "OVERLOADED")), None));
        let (from, to) = (Boottime::from_micros(0), Boottime::from_micros(2_000_000));
        Driven { tally, from, to, not_sent: 7, unanswered: 0, end: End::Done }
    }

    const ASKED: Asked = Asked {
        calls: "authorize-commit",
        pace: Pace::Open { rate: 6 },
        in_flight: 1_024,
        connections: 4,
        accounts: 5,
    };

    #[test]
    fn programs_read_names_of_the_protos_and_microseconds() {
        let shown = json(&ASKED, &driven());
        assert_eq!(
            (&shown["loop"], &shown["rate"], &shown["seconds"]),
            (&json!("open"), &json!(6), &json!(2.0))
        );
        assert_eq!(
            (&shown["answered"], &shown["failed"], &shown["not_sent"]),
            (&json!(4), &json!(1), &json!(7))
        );
        assert_eq!(shown["per_second"], 2.0);
        let latency = shown["latency"].as_array().unwrap();
        assert_eq!(
            latency.iter().map(|row| &row["call"]).collect::<Vec<_>>(),
            ["Authorize", "Commit", "both"]
        );
        assert_eq!((&latency[0]["answers"], &latency[0]["p99.99_us"]), (&json!(4), &json!(10)));
        assert_eq!((&latency[1]["p50_us"], &latency[2]["max_us"]), (&json!(20), &json!(30)));
        let denied = json!({
            "decision": "DECISION_DENIED", "reason": "REASON_CAP_REACHED", "decided_by": "DECIDED_BY_SIDECAR", "count": 1,
        });
        assert_eq!(shown["decisions"][1], denied);
        assert_eq!(shown["states"], json!([{ "state": "STATE_SETTLED", "count": 3 }]));
        let error = json!({ "call": "Authorize", "code": "UNAVAILABLE", "reason": "OVERLOADED", "count": 1 });
        assert_eq!(shown["errors"], json!([error]));
    }

    #[test]
    fn people_read_tables() {
        let shown = people(&ASKED, &driven());
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        for line in [
            "load       authorize-commit, open loop, 6 a second",
            "runs       4 answered, 1 failed",
            "a_second   2.0",
            "sent_late  p99 1.00µs, max 1.00µs",
            "DECISION  REASON       DECIDED_BY  COUNT",
            "ALLOWED                SIDECAR     3",
            "DENIED    CAP_REACHED  SIDECAR     1",
            "SETTLED  3",
        ] {
            assert!(lines.contains(&line), "no `{line}` in\n{shown}");
        }
        assert!(shown.contains("CALL       ANSWERS  MEAN     P50      P90      P99"), "{shown}");
        let closed = people(&Asked { pace: Pace::Closed, ..ASKED }, &Driven { not_sent: 0, ..driven() });
        assert!(!closed.contains("not_sent") && closed.contains("from sending"), "{closed}");
    }

    #[test]
    fn nothing_measured_is_no_division() {
        let from = Boottime::from_micros(0);
        let driven = Driven { tally: Tally::new().unwrap(), to: from, ..driven() };
        assert_eq!(json(&ASKED, &driven)["per_second"], 0.0);
        assert!(people(&ASKED, &driven).contains("0 answered"));
    }
}
