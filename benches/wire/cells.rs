//! Every kind of call, over every transport, with every number in flight.

use super::measure::{Bench, Form, Kind, Level, Site, Transport, Wires};
use super::spread::Tally;

/// What is gone through.
#[derive(Clone, Debug)]
pub struct Extent {
    pub transports: Vec<Transport>,
    pub levels: Vec<Level>,
}

impl Extent {
    pub fn whole() -> Self {
        let level = |in_flight, burst| Level { in_flight, burst };
        Self {
            transports: Transport::ALL.to_vec(),
            levels: vec![level(1, 250), level(16, 1_000), level(64, 2_000), level(256, 4_000)],
        }
    }
}

/// One kind of call over one transport at one level.
pub struct Cell {
    pub transport: Transport,
    pub in_flight: usize,
    pub kind: Kind,
    pub tally: Tally,
}

pub async fn run(form: &Form, extent: &Extent) -> anyhow::Result<Vec<Cell>> {
    let site = Site::open()?;
    let mut bench = Bench::start(&site, form).await?;
    let mut cells = Vec::new();
    for transport in &extent.transports {
        let wires = bench.connect(*transport).await?;
        for level in &extent.levels {
            cells.extend(of(&mut bench, form, *transport, *level, &wires).await?);
        }
    }
    Ok(cells)
}

/// All kinds, interleaved.
pub async fn of(
    bench: &mut Bench,
    form: &Form,
    transport: Transport,
    level: Level,
    wires: &Wires,
) -> anyhow::Result<Vec<Cell>> {
    let mut cells = Vec::with_capacity(Kind::ALL.len());
    for kind in Kind::ALL.into_iter().filter(|kind| form.measures(*kind)) {
        let tally = Tally::new(form.rounds)?;
        cells.push(Cell { transport, in_flight: level.in_flight, kind, tally });
    }
    bench.turn(form, level, wires, |_, _| Ok(())).await?;
    for round in 0..form.rounds {
        for _ in 0..form.turns {
            bench
                .turn(form, level, wires, |kind, burst| {
                    let cell = cells.iter_mut().find(|cell| cell.kind == kind);
                    cell.map_or(Ok(()), |cell| cell.tally.add(round, burst))
                })
                .await?;
        }
    }
    Ok(cells)
}
