//! What was measured, beside each other, and whether it is what is required.

use std::fmt::Write;

use serde_json::{Value, json};

use super::measure::Kind;
use super::rounds::{Line, Who};
use super::spread::Spread;

/// As many in flight as what is required is required with.
const IN_FLIGHT: usize = 64;

const BARS: [Bar; 3] = [
    Bar { who: Who::Wire(Kind::Authorize), measure: Measure::PerCpu, required: 0.9, further: 1.1 },
    Bar { who: Who::Wire(Kind::SessionAuthorize), measure: Measure::PerCpu, required: 2.5, further: 4.0 },
    Bar { who: Who::Hot, measure: Measure::Rate, required: 20.0, further: 20.0 },
];

/// What is required, in multiples of what it is beside, and what is to be pushed on to.
struct Bar {
    who: Who,
    measure: Measure,
    required: f64,
    further: f64,
}

#[derive(Clone, Copy)]
enum Measure {
    PerCpu,
    Rate,
}

/// A bar, and how high it was reached.
pub struct Verdict {
    bar: &'static Bar,
    ratio: f64,
}

impl Verdict {
    pub fn is_reached(&self) -> bool {
        self.ratio >= self.bar.required
    }

    fn shown(&self) -> String {
        let Bar { who, measure, required, further } = self.bar;
        let what = match measure {
            Measure::PerCpu => "decisions per server CPU-second",
            Measure::Rate => "decisions per second",
        };
        let said = match self.ratio {
            ratio if ratio >= *further => "reached",
            ratio if ratio >= *required => "reached, not what to push on to",
            _ => "NOT REACHED",
        };
        format!(
            "{}: {:.2} times the {what} of {}; required: {required}, to push on to: {further}; {said}.",
            who.name(),
            self.ratio,
            who.beside().name(),
        )
    }
}

/// A line beside its peer.
struct Figures<'a> {
    line: &'a Line,
    rate_ratio: Spread,
    per_cpu_ratio: Spread,
}

impl<'a> Figures<'a> {
    fn of(line: &'a Line, lines: &'a [Line]) -> Self {
        let peer = lines
            .iter()
            .find(|other| (other.in_flight, other.who) == (line.in_flight, line.who.beside()))
            .unwrap_or(line);
        Self {
            line,
            rate_ratio: line.tally.rate_ratio(&peer.tally),
            per_cpu_ratio: peer.tally.cpu_ratio(&line.tally),
        }
    }
}

pub fn verdicts(lines: &[Line]) -> Vec<Verdict> {
    let verdict = |bar: &'static Bar| {
        let line = lines.iter().find(|line| (line.in_flight, line.who) == (IN_FLIGHT, bar.who))?;
        let figures = Figures::of(line, lines);
        let ratio = match bar.measure {
            Measure::PerCpu => figures.per_cpu_ratio.median,
            Measure::Rate => figures.rate_ratio.median,
        };
        Some(Verdict { bar, ratio })
    };
    BARS.iter().filter_map(verdict).collect()
}

/// A table in Markdown, and the verdicts.
pub fn text(lines: &[Line], verdicts: &[Verdict]) -> String {
    let mut text = "Medians over rounds (least–most); ratios are made within each round; latencies in µs, of all rounds; server CPU in \
                    seconds per 100,000 decisions.\n\n\
                    | in flight | | decisions/s | p50 | p99 | server CPU | beside | rate, ratio | per CPU-second, ratio |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for line in lines {
        let Figures { line: Line { in_flight, who, tally }, rate_ratio, per_cpu_ratio } =
            Figures::of(line, lines);
        let _written = writeln!(
            text,
            "| {in_flight} | {} | {} | {:.0} | {:.0} | {} | {} | {} | {} |",
            who.name(),
            tally.rate().shown(0),
            tally.quantile(0.5),
            tally.quantile(0.99),
            tally.cpu().shown(2),
            who.beside().name(),
            rate_ratio.shown(2),
            per_cpu_ratio.shown(2),
        );
    }
    let verdicts: Vec<String> = verdicts.iter().map(Verdict::shown).collect();
    format!("{text}\nAt {IN_FLIGHT} in flight:\n\n{}\n", verdicts.join("\n"))
}

pub fn json(lines: &[Line], verdicts: &[Verdict]) -> Value {
    let line = |line: &Line| {
        let Figures { line: Line { in_flight, who, tally }, rate_ratio, per_cpu_ratio } =
            Figures::of(line, lines);
        json!({
            "in_flight": in_flight,
            "what": who.name(),
            "decisions_per_second": tally.rate().json(),
            "p50_micros": tally.quantile(0.5),
            "p99_micros": tally.quantile(0.99),
            "server_cpu_seconds_per_100k": tally.cpu().json(),
            "beside": who.beside().name(),
            "rate_ratio": rate_ratio.json(),
            "per_cpu_ratio": per_cpu_ratio.json(),
        })
    };
    let verdict = |verdict: &Verdict| {
        let Bar { who, required, further, .. } = verdict.bar;
        json!({ "what": who.name(), "ratio": verdict.ratio, "required": required, "further": further })
    };
    json!({
        "lines": lines.iter().map(line).collect::<Vec<_>>(),
        "verdicts": verdicts.iter().map(verdict).collect::<Vec<_>>(),
    })
}
