//! Begins what is due, hears what ended, until it is over.

use tokio::task::JoinSet;

use super::bar::Bar;
use super::calls::Ended;
use super::pace::{Schedule, Start};
use super::tally::Tally;
use super::verdict::{self, Verdict};
use crate::cli::failure::Failure;
use crate::runtime::{Alarm, Boottime, Clock, Shutdown};

/// How it went.
#[derive(Debug)]
pub struct Driven {
    pub tally: Tally,
    /// When the warm-up was over, and when everything was.
    pub from: Boottime,
    pub to: Boottime,
    /// Runs after the warm-up that were due and never began, and those that had no end yet.
    pub not_sent: u64,
    pub unanswered: u64,
    pub end: End,
}

#[derive(Debug)]
pub enum End {
    Done,
    /// By a signal.
    Interrupted,
    Stopped(Verdict),
}

/// Drives `run` by the schedule.
pub async fn drive<F>(
    mut schedule: Schedule,
    clock: &Clock,
    run: impl Fn(Start) -> F,
    shutdown: &Shutdown,
    bar: &mut Bar,
) -> Result<Driven, Failure>
where
    F: Future<Output = Ended> + Send + 'static,
{
    let mut alarm = Alarm::new(clock)?;
    let mut tally = Tally::new()?;
    let (mut under_way, mut begun) = (JoinSet::new(), 0);
    let mut stop = std::pin::pin!(shutdown.requested());
    let end = loop {
        let now = clock.boottime();
        while let Some(start) = schedule.take(now, under_way.len()) {
            begun += u64::from(start.counts);
            under_way.spawn(run(start));
        }
        let is_over = now >= schedule.ends();
        if is_over && under_way.is_empty() {
            break End::Done;
        }
        let wakes = (!is_over).then(|| schedule.wakes(under_way.len()));
        let looks = bar.show(now, &tally);
        let wakes = wakes.into_iter().chain(looks).min();
        tokio::select! {
            biased;
            () = &mut stop => break End::Interrupted,
            Some(ended) = under_way.join_next() => {
                let ended = ended.map_err(|error| Failure::new(format!("a run broke: {error}")))?;
                tally.add(&ended);
                if let Some(verdict) = verdict::on(&ended) {
                    break End::Stopped(verdict);
                }
            }
            rang = alarm.until(wakes.unwrap_or_default()), if wakes.is_some() => rang?,
        }
    };
    bar.clear();
    let (from, to) = (schedule.counts_from(), clock.boottime());
    let unanswered = begun - tally.answered - tally.failed;
    Ok(Driven { tally, from, to, not_sent: schedule.not_sent(to), unanswered, end })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::cli::bench::calls::Answered;
    use crate::cli::bench::calls::tests::{answer, ended, error};
    use crate::cli::bench::pace::{Bounds, Pace};
    use crate::grpc::call_error::CallError;
    use crate::grpc::proto::v1;
    use crate::runtime::ManualClock;
    use crate::types::Timestamp;

    const TICK: Duration = Duration::from_millis(1);
    const SERVICE: Duration = Duration::from_millis(2);

    /// A sidecar that serves so many at once, each for as long, and is paused once.
    #[derive(Clone)]
    struct Fake {
        clock: Clock,
        places: Arc<Semaphore>,
        pause: (Boottime, Boottime),
        refuses: fn(u64) -> Option<CallError>,
    }

    impl Fake {
        fn run(&self, start: Start) -> impl Future<Output = Ended> + Send + use<> {
            let Self { clock, places, pause: (pause, resume), refuses } = self.clone();
            async move {
                let sent = clock.boottime();
                let place = places.acquire().await.unwrap();
                tokio::time::sleep(SERVICE).await;
                if (pause..resume).contains(&clock.boottime()) {
                    tokio::time::sleep(resume.since(clock.boottime())).await;
                }
                drop(place);
                let allowed = answer(v1::Decision::Allowed, v1::Reason::Unspecified);
                let authorize = refuses(start.number).map_or(Ok(allowed), Err);
                let authorize = authorize.map(|answer| Answered { at: clock.boottime(), answer });
                Ended { start, sent, authorize, ..ended(0, Err(error("OK", "")), None) }
            }
        }
    }

    /// The clock and the runtime's timers, kept together.
    async fn pass(hand: ManualClock) -> Driven {
        loop {
            tokio::time::advance(TICK).await;
            hand.pass(TICK);
            // Everyone who was woken comes to an end before the time goes on.
            for _ in 0..32 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Two seconds measured after a tenth; the endpoint is paused for half of one.
    async fn driven(
        pace: Pace,
        in_flight: usize,
        places: usize,
        refuses: fn(u64) -> Option<CallError>,
    ) -> Driven {
        let (clock, hand) = Clock::manual(Boottime::default(), Timestamp::from_micros(0));
        let at = |millis| Boottime::default().plus(Duration::from_millis(millis));
        let pause = (at(1_000), at(1_500));
        let fake = Fake { clock: clock.clone(), places: Arc::new(Semaphore::new(places)), pause, refuses };
        let (warmup, duration) = (Duration::from_millis(100), Duration::from_secs(2));
        let patience = Duration::from_millis(700);
        let schedule =
            Schedule::new(pace, Bounds { warmup, duration, in_flight, patience }, clock.boottime());
        let (_stopper, shutdown) = Shutdown::new();
        let mut bar = Bar::default();
        tokio::select! {
            driven = drive(schedule, &clock, |start| fake.run(start), &shutdown, &mut bar) => driven.unwrap(),
            driven = pass(hand) => driven,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_shows_in_the_open_loop_in_all_that_it_delayed() {
        // Few in flight or many: who waits for a place waits all the same.
        for in_flight in [4, 1_000] {
            let driven = driven(Pace::Open { rate: 200 }, in_flight, 4, |_| None).await;
            let tally = &driven.tally;
            assert_eq!((tally.answered, tally.failed, driven.not_sent, driven.unanswered), (400, 0, 0, 0));
            assert!(matches!(driven.end, End::Done));
            let at = |share| tally.authorize.value_at_quantile(share) / 1_000;
            assert!((2..=4).contains(&at(0.5)), "{}", at(0.5));
            // A quarter of the time was the pause: who came at its beginning waited for the whole of it.
            assert!(at(0.9) >= 250, "{}", at(0.9));
            assert!((490..=510).contains(&at(1.0)), "{}", at(1.0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_hides_in_the_closed_loop() {
        let driven = driven(Pace::Closed, 4, 4, |_| None).await;
        let latency = &driven.tally.authorize;
        assert_eq!(latency.len(), driven.tally.answered);
        assert!(latency.value_at_quantile(0.99) <= 5_000, "{}", latency.value_at_quantile(0.99));
        assert!(latency.max() >= 490_000, "{}", latency.max());
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_is_too_slow_is_told_by_what_was_not_sent() {
        // One place serves 500 a second at most, without the pause.
        let driven = driven(Pace::Open { rate: 1_000 }, 8, 1, |_| None).await;
        let Driven { tally, not_sent, unanswered, .. } = &driven;
        assert_eq!(tally.answered + not_sent + unanswered, 2_000, "none is lost");
        assert!(*not_sent > 900 && *unanswered == 0, "{not_sent} {unanswered}");
        let after = driven.to.since(driven.from).saturating_sub(Duration::from_secs(2));
        assert!(after < Duration::from_millis(720), "what waits at the end has as long: {after:?}");
        let latest = tally.late.max();
        assert!((600_000..=705_000).contains(&latest), "as late as patience allows, and no later: {latest}");
    }

    #[tokio::test(start_paused = true)]
    async fn overload_is_counted_and_a_lost_endpoint_ends_it_at_once() {
        let overloaded = |number| (number % 2 == 0).then(|| error("UNAVAILABLE", "OVERLOADED"));
        let driven_on = driven(Pace::Open { rate: 100 }, 100, 4, overloaded).await;
        assert_eq!((driven_on.tally.answered, driven_on.tally.failed), (100, 100));

        let lost = |number| (number >= 50).then(|| error("UNAVAILABLE", ""));
        let driven = driven(Pace::Open { rate: 100 }, 100, 4, lost).await;
        assert!(matches!(&driven.end, End::Stopped(Verdict::Lost(_))), "{:?}", driven.end);
        assert_eq!((driven.tally.answered, driven.tally.failed), (40, 1));
        assert!(driven.to.since(driven.from) < Duration::from_millis(420));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_it_with_what_was_measured() {
        let (clock, hand) = Clock::manual(Boottime::default(), Timestamp::from_micros(0));
        let at = |millis| Boottime::default().plus(Duration::from_millis(millis));
        let places = Arc::new(Semaphore::new(9));
        let fake = Fake { clock: clock.clone(), places, pause: (at(500), at(9_000)), refuses: |_| None };
        let (patience, duration) = (Duration::from_secs(5), Duration::from_secs(60));
        let bounds = Bounds { warmup: Duration::ZERO, duration, in_flight: 9, patience };
        let schedule = Schedule::new(Pace::Open { rate: 100 }, bounds, clock.boottime());
        let (stopper, shutdown) = Shutdown::new();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            stopper.stop();
        });
        let mut bar = Bar::default();
        let driven = tokio::select! {
            driven = drive(schedule, &clock, |start| fake.run(start), &shutdown, &mut bar) => driven.unwrap(),
            driven = pass(hand) => driven,
        };
        assert!(matches!(driven.end, End::Interrupted));
        let Driven { tally, not_sent, unanswered, .. } = driven;
        assert_eq!((tally.answered, unanswered), (50, 9));
        assert!((40..=42).contains(&not_sent), "{not_sent}");
    }
}
