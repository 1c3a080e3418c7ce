//! What a fleet's world comes to, in figures: whole numbers that a seed determines, and nanoseconds, which it does not.

use super::fleet::Load;
use crate::types::Credits;

/// What lies idle is looked at so often at most, in microseconds: it takes a look at every sidecar.
const LOOK_EVERY: i64 = 50_000;

/// Counts of one part of a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Authorisations.
    pub asked: u64,
    /// Those that were answered only after the ledger was.
    pub waited: u64,
    /// Those that the ledger decided.
    pub decided: u64,
    /// Calls for a lease.
    pub leases: u64,
    /// Of these, those that no run waited for.
    pub renewals: u64,
    /// Times that idle slices were recalled, and how many sidecars were asked for theirs in all.
    pub recalls: u64,
    pub recalled: u64,
}

#[derive(Clone, Debug)]
pub struct Figures {
    pub load: Load,
    /// While the account has four of the largest runs for every sidecar, and from then on.
    pub plenty: Tally,
    pub scarce: Tally,
    pub allowed: u64,
    pub refused: u64,
    /// Refused though credits for it were free somewhere all the time.
    pub false_refusals: u64,
    /// Refused because no word of the ledger came in time.
    pub late: u64,
    /// What lay idle at sidecars when a run had to wait for the ledger or was refused, and when one was refused: the sum,
    /// and how often it was looked at.
    pub stranded: (Credits, u64),
    pub stranded_at_refusals: (Credits, u64),
    /// When the last run was asked for; and once nobody had asked for a while.
    pub stranded_at_end: Credits,
    pub stranded_at_rest: Credits,
    /// From a recall until the sidecar that lacked credits had its answer, in microseconds: sum, most, and how often.
    pub recall: (i64, i64, u64),
    /// From a sidecar's death until what it held was usable again, in microseconds.
    pub reclaimed_after: Option<i64>,
    pub messages: u64,
    pub spent: Credits,
    pub debt: Credits,
    /// Nanoseconds of the sidecars' machines, and of the ledger's.
    pub sidecar_nanos: u64,
    pub ledger_nanos: u64,
    /// Same load, same trace.
    pub trace: String,
}

impl Figures {
    pub(super) fn new(load: Load) -> Self {
        let none = (Credits::ZERO, 0);
        Self {
            load,
            plenty: Tally::default(),
            scarce: Tally::default(),
            allowed: 0,
            refused: 0,
            false_refusals: 0,
            late: 0,
            stranded: none,
            stranded_at_refusals: none,
            stranded_at_end: Credits::ZERO,
            stranded_at_rest: Credits::ZERO,
            recall: (0, 0, 0),
            reclaimed_after: None,
            messages: 0,
            spent: Credits::ZERO,
            debt: Credits::ZERO,
            sidecar_nanos: 0,
            ledger_nanos: 0,
            trace: String::new(),
        }
    }

    /// Both parts of the world together.
    pub fn all(&self) -> Tally {
        let (a, b) = (self.plenty, self.scarce);
        Tally {
            asked: a.asked + b.asked,
            waited: a.waited + b.waited,
            decided: a.decided + b.decided,
            leases: a.leases + b.leases,
            renewals: a.renewals + b.renewals,
            recalls: a.recalls + b.recalls,
            recalled: a.recalled + b.recalled,
        }
    }

    pub(super) fn strands(&mut self, idle: Credits, refused: bool) {
        let sums = [Some(&mut self.stranded), refused.then_some(&mut self.stranded_at_refusals)];
        for (sum, looks) in sums.into_iter().flatten() {
            *sum += idle;
            *looks += 1;
        }
    }

    pub(super) fn brought(&mut self, micros: i64) {
        let (sum, most, times) = &mut self.recall;
        *sum += micros;
        *most = micros.max(*most);
        *times += 1;
    }
}

/// Credits that no run holds or has spent, wherever they are, as they changed.
#[derive(Debug)]
pub struct Latest {
    free: Vec<(i64, Credits)>,
    looked: [Option<i64>; 2],
}

impl Latest {
    pub(super) fn new(allowance: Credits) -> Self {
        Self { free: vec![(0, allowance)], looked: [None; 2] }
    }

    pub fn free(&self) -> Credits {
        self.free.last().map_or(Credits::ZERO, |(_, free)| *free)
    }

    pub(super) fn changed(&mut self, now: i64, by: Credits) {
        if !by.is_zero() {
            let free = self.free() + by;
            self.free.push((now, free));
        }
    }

    /// What was free at every moment since then, and would have been left had all that others took since been taken at
    /// once.
    pub(super) fn left_since(&self, since: i64) -> Credits {
        let (mut left, mut taken) = (self.free(), Credits::ZERO);
        let mut later = self.free();
        for (at, free) in self.free.iter().rev() {
            taken += free.saturating_sub(later);
            later = *free;
            left = left.min(*free - taken);
            if *at < since {
                break;
            }
        }
        left
    }

    pub(super) fn is_due(&mut self, now: i64, refused: bool) -> bool {
        let [other, refusal] = &mut self.looked;
        let looked = if refused { refusal } else { other };
        let due = looked.is_none_or(|last| now - last >= LOOK_EVERY);
        if due {
            *looked = Some(now);
        }
        due
    }
}
