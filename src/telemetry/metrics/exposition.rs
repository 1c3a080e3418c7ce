//! A reading as OpenMetrics text. Written here: the library for it takes no examples of traces that it did not count itself.

use std::fmt::{self, Write};

use opentelemetry::TraceId;

use super::reading::{Reading, Sample, Value};
use super::table::Kind;
use super::times::{BUCKETS_MICROS, Counted};

/// The media type of what `text` makes.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Errors: none that a `String` as target could have.
pub fn text(readings: &[Reading]) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for Reading { metric, samples } in readings {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        writeln!(out, "# TYPE {} {kind}", metric.name)?;
        writeln!(out, "# HELP {} {}", metric.name, escaped(metric.help))?;
        for Sample { labels, value } in samples {
            match value {
                Value::Number(number) => {
                    writeln!(out, "{}{} {number}", metric.stored_name(), set(labels, None))?;
                }
                Value::Times(counted) => times(&mut out, metric.name, labels, counted)?,
            }
        }
    }
    out.push_str("# EOF\n");
    Ok(out)
}

fn times(out: &mut String, name: &str, labels: &[(&'static str, String)], counted: &Counted) -> fmt::Result {
    let ends = BUCKETS_MICROS.iter().map(|micros| seconds(*micros)).chain(["+Inf".to_owned()]);
    let mut so_far = 0;
    for ((end, count), example) in ends.zip(&counted.counts).zip(&counted.examples) {
        so_far += count;
        write!(out, "{name}_bucket{} {so_far}", set(labels, Some(&end)))?;
        if let Some(example) = example {
            let trace_id = TraceId::from_bytes(example.trace_id);
            write!(out, " # {{trace_id=\"{trace_id}\"}} {}", example.took.as_secs_f64())?;
        }
        out.push('\n');
    }
    let labels = set(labels, None);
    writeln!(out, "{name}_sum{labels} {}", counted.seconds)?;
    writeln!(out, "{name}_count{labels} {so_far}")
}

/// Exactly, and as short as it goes.
fn seconds(micros: u64) -> String {
    rust_decimal::Decimal::new(i64::try_from(micros).unwrap_or(i64::MAX), 6).normalize().to_string()
}

/// `{a="b",le="0.1"}`; nothing where there are no labels.
fn set(labels: &[(&'static str, String)], end: Option<&str>) -> String {
    let pairs = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    let all: Vec<String> = pairs.chain(end.map(|end| format!("le=\"{end}\""))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::table;
    use crate::telemetry::metrics::times::Times;

    #[test]
    fn is_what_a_scraper_reads() {
        let times = Times::default();
        times.count(Duration::from_micros(30), Some([1; 16]));
        times.count(Duration::from_secs(100), None);
        let labels = vec![("rpc_method", "a\"b\\c".to_owned())];
        let took = Sample { labels, value: Value::Times(times.read()) };
        let text = text(&[
            Reading::build("sidecar"),
            Reading::of(&table::LEDGER_UP, 1.0),
            Reading::of(&table::RESERVED, 2.5),
            Reading { metric: &table::CALL_SECONDS, samples: vec![took] },
        ])
        .unwrap();
        for line in [
            &format!("bursar_build_info{{version=\"{}\",part=\"sidecar\"}} 1", env!("CARGO_PKG_VERSION")),
            "# TYPE bursar_build info",
            "# TYPE bursar_ledger_up gauge",
            "bursar_ledger_up 1",
            "bursar_reserved_credits_total 2.5",
            r#"rpc_server_call_duration_seconds_bucket{rpc_method="a\"b\\c",le="0.000025"} 0"#,
            concat!(
                r#"rpc_server_call_duration_seconds_bucket{rpc_method="a\"b\\c",le="0.00005"} 1"#,
                r#" # {trace_id="01010101010101010101010101010101"} 0.00003"#
            ),
            r#"rpc_server_call_duration_seconds_bucket{rpc_method="a\"b\\c",le="+Inf"} 2"#,
            r#"rpc_server_call_duration_seconds_count{rpc_method="a\"b\\c"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
