//! When each run is to begin.

use std::time::Duration;

use crate::runtime::Boottime;

const MICROS: u64 = 1_000_000;

/// What a run's beginning waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The end of another: the load adapts to the endpoint.
    Closed,
    /// Its own instant, whatever the endpoint does: so many a second, evenly spaced.
    Open { rate: u32 },
}

/// One run that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// No two runs have the same.
    pub number: u64,
    /// When it should be sent; latency counts from here.
    pub due: Boottime,
    /// The warm-up is over.
    pub counts: bool,
}

/// How long, and how much at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub warmup: Duration,
    pub duration: Duration,
    /// Runs under way at once.
    pub in_flight: usize,
    /// A run that is later than this is not begun: nobody waits for its answer any more.
    pub patience: Duration,
}

/// Says which run begins next; what waits to begin is never stored, so that no overload can fill the memory.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    bounds: Bounds,
    began: Boottime,
    next: u64,
    not_sent: u64,
}

impl Schedule {
    pub fn new(pace: Pace, bounds: Bounds, began: Boottime) -> Self {
        Self { pace, bounds, began, next: 0, not_sent: 0 }
    }

    /// When the warm-up ends.
    pub fn counts_from(&self) -> Boottime {
        self.began.plus(self.bounds.warmup)
    }

    /// No run is due from here on; what was due before and waits may begin yet.
    pub fn ends(&self) -> Boottime {
        self.counts_from().plus(self.bounds.duration)
    }

    /// The next run, where one is to begin by `now`.
    pub fn take(&mut self, now: Boottime, under_way: usize) -> Option<Start> {
        let Pace::Open { rate } = self.pace else {
            let begins = now < self.ends() && under_way < self.bounds.in_flight;
            return begins.then(|| self.start(now));
        };
        self.skip_to(rate, self.first_due(rate, now.since(self.began.plus(self.bounds.patience))));
        let due = self.due(rate);
        let begins = due <= now && due < self.ends() && under_way < self.bounds.in_flight;
        begins.then(|| self.start(due))
    }

    /// When to ask again, where no run ends before.
    pub fn wakes(&self, under_way: usize) -> Boottime {
        match self.pace {
            Pace::Open { rate } if under_way < self.bounds.in_flight => self.due(rate).min(self.ends()),
            Pace::Open { .. } | Pace::Closed => self.ends(),
        }
    }

    /// How many runs were due before `now` and did not begin, and now never will.
    pub fn not_sent(mut self, now: Boottime) -> u64 {
        if let Pace::Open { rate } = self.pace {
            self.skip_to(rate, self.first_due(rate, now.min(self.ends()).since(self.began)));
        }
        self.not_sent
    }

    /// From the number and not from the last one's instant: neither rounding nor a late sender moves the rest.
    fn due(&self, rate: u32) -> Boottime {
        self.began.plus(Duration::from_micros(self.next.saturating_mul(MICROS) / u64::from(rate)))
    }

    fn start(&mut self, due: Boottime) -> Start {
        let start = Start { number: self.next, due, counts: due >= self.counts_from() };
        self.next += 1;
        start
    }

    /// The first run that is due so long after the beginning, or later.
    fn first_due(&self, rate: u32, after: Duration) -> u64 {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        micros.saturating_mul(u64::from(rate)).div_ceil(MICROS)
    }

    /// Counts those before `number` that have not begun.
    fn skip_to(&mut self, rate: u32, number: u64) {
        let Bounds { warmup, duration, .. } = self.bounds;
        let number = number.min(self.first_due(rate, warmup + duration));
        let first = self.next.max(self.first_due(rate, warmup));
        self.not_sent += number.saturating_sub(first);
        self.next = self.next.max(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Boottime = Boottime::from_micros(1_000);

    fn schedule(pace: Pace, in_flight: usize) -> Schedule {
        let (warmup, duration) = (Duration::from_secs(1), Duration::from_secs(2));
        Schedule::new(
            pace,
            Bounds { warmup, duration, in_flight, patience: Duration::from_millis(500) },
            BEGAN,
        )
    }

    fn at(millis: u64) -> Boottime {
        BEGAN.plus(Duration::from_millis(millis))
    }

    /// Takes all that is due, none of it under way for long.
    fn taken(schedule: &mut Schedule, now: Boottime) -> Vec<Start> {
        std::iter::from_fn(|| schedule.take(now, 0)).collect()
    }

    #[test]
    fn an_open_loop_is_evenly_spaced_to_the_last() {
        for rate in [1, 3, 7, 1_000, 30_000, 77_777] {
            let mut schedule = schedule(Pace::Open { rate }, usize::MAX);
            let mut starts = Vec::new();
            for millis in (0..=3_000).step_by(100) {
                starts.extend(taken(&mut schedule, at(millis)));
            }
            assert_eq!(starts.len() as u64, 3 * u64::from(rate));
            let counted = starts.iter().filter(|start| start.counts).count() as u64;
            assert_eq!(counted, 2 * u64::from(rate), "the first second warms up");
            for (number, start) in (0..).zip(&starts) {
                let exact = number as f64 * 1e6 / f64::from(rate);
                assert!((start.due.since(BEGAN).as_micros() as f64 - exact).abs() <= 1.0);
                assert_eq!(start.number, number);
            }
            assert_eq!(schedule.not_sent(at(9_000)), 0);
        }
    }

    #[test]
    fn nothing_begins_early_and_it_says_when_to_ask_again() {
        let mut schedule = schedule(Pace::Open { rate: 10 }, 4);
        assert_eq!(taken(&mut schedule, at(0)).len(), 1);
        assert_eq!(schedule.take(at(99), 0), None);
        assert_eq!((schedule.wakes(0), schedule.wakes(4)), (at(100), at(3_000)));
        assert_eq!(schedule.take(at(100), 0).unwrap().due, at(100));
    }

    #[test]
    fn a_late_run_keeps_the_instant_at_which_it_was_due() {
        let mut schedule = schedule(Pace::Open { rate: 10 }, 1);
        assert_eq!(schedule.take(at(0), 0).unwrap().due, at(0));
        assert_eq!(schedule.take(at(450), 1), None, "one is under way");
        let late: Vec<Boottime> = taken(&mut schedule, at(450)).iter().map(|start| start.due).collect();
        assert_eq!(late, [at(100), at(200), at(300), at(400)]);
    }

    #[test]
    fn what_is_too_late_is_not_begun_and_counted() {
        let mut schedule = schedule(Pace::Open { rate: 10 }, 1);
        assert_eq!(schedule.take(at(0), 0).unwrap().due, at(0));
        // Eleven were due in the meantime: those until 900 belong to the warm-up, those until 1,500 are too late.
        assert_eq!(schedule.take(at(2_050), 0).unwrap().due, at(1_600));
        assert_eq!(schedule.take(at(2_050), 1), None);
        // 1,000 to 1,500, then 1,700 to 2,000.
        assert_eq!(schedule.not_sent(at(2_050)), 6 + 4);
    }

    #[test]
    fn what_waits_at_the_end_may_begin_until_it_is_too_late() {
        let mut schedule = schedule(Pace::Open { rate: 1_000 }, 1);
        assert!(schedule.take(at(0), 0).is_some());
        assert_eq!(schedule.take(at(3_000), 1), None);
        assert_eq!(schedule.take(at(3_100), 0).unwrap().due, at(2_600));
        assert_eq!(schedule.take(at(3_600), 0), None);
        assert_eq!(schedule.not_sent(at(60_000)), 1_999);
    }

    #[test]
    fn a_closed_loop_begins_one_for_each_that_ended() {
        let mut schedule = schedule(Pace::Closed, 3);
        let mut under_way = 0;
        while schedule.take(at(5), under_way).is_some() {
            under_way += 1;
        }
        assert_eq!(under_way, 3);
        let next = schedule.take(at(1_700), 2).unwrap();
        assert_eq!((next.number, next.due, next.counts), (3, at(1_700), true));
        assert_eq!((schedule.take(at(3_000), 0), schedule.wakes(0)), (None, at(3_000)));
        assert_eq!(schedule.not_sent(at(60_000)), 0);
    }
}
