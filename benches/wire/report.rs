//! What was measured, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::cells::Cell;
use super::measure::{Form, Kind};
use super::spread::{Spread, Tally};

/// What is to be reached, beside the empty handler's unary calls with as many in flight.
const BARS: [Bar; 7] = [
    Bar { kind: Kind::Authorize, in_flight: 1, measure: Measure::Median, limit: 1.4 },
    Bar { kind: Kind::Authorize, in_flight: 64, measure: Measure::Cpu, limit: 1.35 },
    Bar { kind: Kind::Authorize, in_flight: 64, measure: Measure::Rate, limit: 0.75 },
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
    /// The p50, at most the limit.
    Median,
}

/// A cell beside its floor.
struct Figures<'a> {
    own: &'a Tally,
    floor: &'a Tally,
}

impl<'a> Figures<'a> {
    fn of(cell: &'a Cell, cells: &'a [Cell]) -> Self {
        let floor = cells.iter().find(|other| {
            (other.transport, other.in_flight, other.kind)
                == (cell.transport, cell.in_flight, cell.kind.floor())
        });
        Self { own: &cell.tally, floor: &floor.unwrap_or(cell).tally }
    }

    fn rate_ratio(&self) -> Spread {
        self.own.rate_ratio(self.floor)
    }

    fn cpu_ratio(&self) -> Spread {
        self.own.cpu_ratio(self.floor)
    }

    fn verdict(&self, bar: &Bar) -> String {
        let (ratio, what, most) = match bar.measure {
            Measure::Cpu => (self.cpu_ratio().median, "CPU", "at most"),
            Measure::Rate => (self.rate_ratio().median, "rate", "at least"),
            Measure::Median => (self.own.quantile(0.5) / self.floor.quantile(0.5), "p50", "at most"),
        };
        format!("{ratio:.2} times the empty handler's {what}; to reach: {most} {}.", bar.limit)
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
        let Figures { own, .. } = figures;
        let _written = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {} | {} |",
            cell.transport.name(),
            cell.in_flight,
            cell.kind.name(),
            own.rate().shown(0),
            figures.rate_ratio().shown(2),
            own.quantile(0.5),
            own.quantile(0.99),
            own.quantile(0.999),
            own.cpu().shown(2),
            figures.cpu_ratio().shown(2),
        );
        for bar in BARS.iter().filter(|bar| (bar.kind, bar.in_flight) == (cell.kind, cell.in_flight)) {
            let (kind, over) = (cell.kind.name(), cell.transport.name());
            let verdict = figures.verdict(bar);
            let _written = writeln!(verdicts, "{kind} over {over} at {} in flight: {verdict}", bar.in_flight);
        }
    }
    text + "\n" + &verdicts
}

pub fn json(cells: &[Cell], form: &Form) -> Value {
    let cell = |cell: &Cell| {
        let figures = Figures::of(cell, cells);
        let Figures { own, .. } = figures;
        json!({
            "over": cell.transport.name(),
            "in_flight": cell.in_flight,
            "what": cell.kind.name(),
            "calls_per_second": own.rate().json(),
            "rate_ratio": figures.rate_ratio().json(),
            "p50_micros": own.quantile(0.5),
            "p99_micros": own.quantile(0.99),
            "p999_micros": own.quantile(0.999),
            "server_cpu_seconds_per_100k": own.cpu().json(),
            "cpu_ratio": figures.cpu_ratio().json(),
        })
    };
    json!({ "rounds": form.rounds, "threads": form.threads, "cells": cells.iter().map(cell).collect::<Vec<_>>() })
}
