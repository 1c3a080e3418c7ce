//! What was measured, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::{Cell, Form, Kind, Round};

/// CPU time is told for so many calls.
const CALLS: f64 = 100_000.0;

/// What is to be reached, beside the empty handler's unary calls with as many in flight.
const BARS: [Bar; 5] = [
    Bar { kind: Kind::Authorize, in_flight: 64, measure: Measure::Cpu, limit: 1.4 },
    Bar { kind: Kind::SessionAuthorize, in_flight: 64, measure: Measure::Cpu, limit: 0.45 },
    Bar { kind: Kind::SessionAuthorize, in_flight: 64, measure: Measure::Rate, limit: 1.6 },
    Bar { kind: Kind::Commit, in_flight: 256, measure: Measure::Rate, limit: 0.4 },
    Bar { kind: Kind::SessionCommit, in_flight: 256, measure: Measure::Rate, limit: 1.0 },
];

struct Bar {
    kind: Kind,
    in_flight: usize,
    measure: Measure,
    limit: f64,
}

#[derive(Clone, Copy)]
enum Measure {
    /// At most the limit.
    Cpu,
    /// At least the limit.
    Rate,
}

/// A median and what it lies between.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (half, last) = (values.len() / 2, values.len().saturating_sub(1));
        let median =
            if values.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.max(1) - 1), at(half)) };
        Self { median, least: at(0), most: at(last) }
    }

    fn shown(&self, digits: usize) -> String {
        let Self { median, least, most } = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }

    fn json(&self) -> Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}

impl Round {
    fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    /// CPU seconds of 100,000 calls.
    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() / self.calls as f64 * CALLS
    }
}

/// A cell beside its floor.
struct Figures<'a> {
    cell: &'a Cell,
    rate: Spread,
    rate_ratio: Spread,
    cpu: Spread,
    cpu_ratio: Spread,
}

impl<'a> Figures<'a> {
    fn of(cell: &'a Cell, cells: &'a [Cell]) -> Self {
        let floor = cells.iter().find(|other| {
            (other.transport, other.in_flight, other.kind)
                == (cell.transport, cell.in_flight, cell.kind.floor())
        });
        let pairs = || cell.rounds.iter().zip(floor.into_iter().flat_map(|floor| &floor.rounds));
        Self {
            cell,
            rate: Spread::of(cell.rounds.iter().map(Round::rate)),
            rate_ratio: Spread::of(pairs().map(|(own, floor)| own.rate() / floor.rate())),
            cpu: Spread::of(cell.rounds.iter().map(Round::cpu)),
            cpu_ratio: Spread::of(pairs().map(|(own, floor)| own.cpu() / floor.cpu())),
        }
    }

    /// Microseconds.
    fn quantile(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.cell.latency.value_at_quantile(quantile)).as_secs_f64() * 1e6
    }
}

/// A table in Markdown, and which bars were reached.
pub fn table(cells: &[Cell], form: &Form) -> String {
    let mut text = format!(
        "{} rounds; rates and CPU are medians over rounds (least–most), ratios are made within each round against the \
         empty handler; latencies in µs, of all rounds; server CPU in seconds per 100,000 calls; {} server thread(s).\n\n\
         | over | in flight | | calls/s | ratio | p50 | p99 | p99.9 | server CPU | CPU ratio |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        form.rounds, form.threads
    );
    let mut verdicts = String::new();
    for cell in cells {
        let figures = Figures::of(cell, cells);
        let _written = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {} | {} |",
            cell.transport.name(),
            cell.in_flight,
            cell.kind.name(),
            figures.rate.shown(0),
            figures.rate_ratio.shown(2),
            figures.quantile(0.5),
            figures.quantile(0.99),
            figures.quantile(0.999),
            figures.cpu.shown(2),
            figures.cpu_ratio.shown(2),
        );
        for bar in BARS.iter().filter(|bar| (bar.kind, bar.in_flight) == (cell.kind, cell.in_flight)) {
            let (what, ratio, most) = match bar.measure {
                Measure::Cpu => ("CPU", &figures.cpu_ratio, "at most"),
                Measure::Rate => ("rate", &figures.rate_ratio, "at least"),
            };
            let _written = writeln!(
                verdicts,
                "{} over {} at {} in flight: {:.2} times the empty handler's {what}; to reach: {most} {}.",
                cell.kind.name(),
                cell.transport.name(),
                cell.in_flight,
                ratio.median,
                bar.limit,
            );
        }
    }
    text + "\n" + &verdicts
}

pub fn json(cells: &[Cell], form: &Form) -> Value {
    let cell = |cell: &Cell| {
        let figures = Figures::of(cell, cells);
        json!({
            "over": cell.transport.name(),
            "in_flight": cell.in_flight,
            "what": cell.kind.name(),
            "calls": cell.rounds.iter().map(|round| round.calls).sum::<u64>(),
            "calls_per_second": figures.rate.json(),
            "rate_ratio": figures.rate_ratio.json(),
            "p50_micros": figures.quantile(0.5),
            "p99_micros": figures.quantile(0.99),
            "p999_micros": figures.quantile(0.999),
            "server_cpu_seconds_per_100k": figures.cpu.json(),
            "cpu_ratio": figures.cpu_ratio.json(),
        })
    };
    json!({ "rounds": form.rounds, "threads": form.threads, "cells": cells.iter().map(cell).collect::<Vec<_>>() })
}
