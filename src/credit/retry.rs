//! What a chain of retries costs: within its free retries, at most what one success costs.

use minicbor::{Decode, Encode};

use super::book::Book;
use super::reservation::{Final, Run, State};
use crate::playbook::action::Retries;
use crate::playbook::charge::{Quantities, RunResult};
use crate::types::{Credits, ReservationId, Timestamp, calendar};

/// The place of a run in a chain of free retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChainLink {
    /// The chain's first run.
    #[n(0)]
    pub first: ReservationId,
    /// 1 for the first retry.
    #[n(1)]
    pub number: u32,
    /// What the chain's other runs had been charged when this one was authorised.
    #[n(2)]
    pub others: Credits,
}

/// What each run of a chain was charged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Chain {
    #[n(0)]
    pub members: Vec<(ReservationId, Credits)>,
}

impl Chain {
    /// What the chain's runs other than `id` were charged.
    pub fn others(&self, id: ReservationId) -> Credits {
        self.members.iter().filter(|(member, _)| *member != id).map(|(_, charged)| *charged).sum()
    }

    pub fn note(&mut self, id: ReservationId, charged: Credits) {
        match self.members.iter_mut().find(|(member, _)| *member == id) {
            Some((_, noted)) => *noted = charged,
            None => self.members.push((id, charged)),
        }
    }
}

/// The link of a run that retries `earlier`, or `None` where it is an ordinary run.
pub fn link(
    book: &Book,
    rule: Option<&Retries>,
    run: &Run,
    earlier: (ReservationId, &Final),
    at: Timestamp,
    zone: &jiff::tz::TimeZone,
) -> Option<ChainLink> {
    let (rule, (id, ended)) = (rule?, earlier);
    let failed = ended.state == State::Lapsed
        || matches!(ended.result, Some(RunResult::Failed | RunResult::Cancelled | RunResult::Partial));
    let fits = failed
        && ended.run.action == run.action
        && at < calendar::plus(ended.ended_at, rule.within, zone)
        && no_larger(&run.quantities, &ended.run.quantities);
    let number = ended.chain.map_or(0, |link| link.number) + 1;
    let first = ended.chain.map_or(id, |link| link.first);
    (fits && number <= rule.free).then(|| ChainLink {
        first,
        number,
        others: book.chains.get(&first).map_or_else(|| ended.charged(), Chain::total),
    })
}

/// What a run of the chain may still be charged of `charge`.
pub fn reduced(book: &Book, id: ReservationId, link: Option<&ChainLink>, charge: Credits) -> Credits {
    let first = link.map_or(id, |link| link.first);
    let others = match book.chains.get(&first) {
        Some(chain) => chain.others(id),
        None => link.map_or(Credits::ZERO, |link| link.others),
    };
    charge.saturating_sub(others)
}

impl Chain {
    fn total(&self) -> Credits {
        self.members.iter().map(|(_, charged)| *charged).sum()
    }
}

fn no_larger(retry: &Quantities, earlier: &Quantities) -> bool {
    match (retry, earlier) {
        (Quantities::Single(new), Quantities::Single(old)) => new <= old,
        (Quantities::Meters(new), Quantities::Meters(old)) => new.iter().all(|(meter, quantity)| {
            let before = old.iter().find(|(name, _)| name == meter);
            quantity.is_zero() || before.is_some_and(|(_, before)| quantity <= before)
        }),
        _ => false,
    }
}
