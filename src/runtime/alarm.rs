//! Wakes at an instant, to the microsecond: the runtime's own timers know milliseconds.

use std::io;

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::clock::{Boottime, Clock};

/// One waiter's alarm.
#[derive(Debug)]
pub struct Alarm(By);

#[derive(Debug)]
enum By {
    /// Of the clock that `Clock` reads; what it is set to.
    Timer(AsyncFd<OwnedFd>, Option<Boottime>),
    /// The runtime's timers, beside a clock that a hand moves.
    Runtime(Clock),
}

impl Alarm {
    /// Must be called within a tokio runtime. Errors: no file descriptor is left.
    #[expect(
        deprecated,
        reason = "its successor is unsafe because of types that may close early; an OwnedFd is open as long as it is owned"
    )]
    pub fn new(clock: &Clock) -> io::Result<Self> {
        if !clock.is_system() {
            return Ok(Self(By::Runtime(clock.clone())));
        }
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(By::Timer(AsyncFd::new(timer)?, None)))
    }

    /// Waits until `at`; an instant that is past is now. Cancel safe.
    pub async fn until(&mut self, at: Boottime) -> io::Result<()> {
        match &mut self.0 {
            By::Runtime(clock) => {
                tokio::time::sleep(at.since(clock.boottime())).await;
                Ok(())
            }
            By::Timer(timer, set) => {
                if *set != Some(at) {
                    timerfd_settime(&*timer, TimerfdTimerFlags::ABSTIME, &once(at))?;
                    *set = Some(at);
                }
                let mut times = [0; size_of::<u64>()];
                timer
                    .async_io(tokio::io::Interest::READABLE, |timer| Ok(rustix::io::read(timer, &mut times)?))
                    .await?;
                // What has gone off does not go off again.
                *set = None;
                Ok(())
            }
        }
    }
}

fn once(at: Boottime) -> Itimerspec {
    // Zero would turn the timer off.
    let micros = at.micros().max(1);
    Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: micros / 1_000_000, tv_nsec: micros % 1_000_000 * 1000 },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::Timestamp;

    #[tokio::test]
    async fn it_does_not_ring_early_and_may_be_set_anew() {
        let clock = Clock::system();
        let mut alarm = Alarm::new(&clock).unwrap();
        alarm.until(Boottime::default()).await.unwrap();
        let far = clock.boottime().plus(Duration::from_secs(3_600));
        tokio::select! {
            biased;
            rang = alarm.until(far) => panic!("an hour early: {rang:?}"),
            () = std::future::ready(()) => {}
        }
        for micros in [700, 50, 0] {
            let at = clock.boottime().plus(Duration::from_micros(micros));
            alarm.until(at).await.unwrap();
            assert!(clock.boottime() >= at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beside_a_hand_the_runtimes_timers_ring() {
        let (clock, _hand) = Clock::manual(Boottime::from_micros(5), Timestamp::from_micros(0));
        let mut alarm = Alarm::new(&clock).unwrap();
        alarm.until(Boottime::from_micros(5).plus(Duration::from_secs(3_600))).await.unwrap();
        alarm.until(Boottime::default()).await.unwrap();
    }
}
