//! The CPU time that a server uses, its processes together.

use std::time::Duration;

/// A server is quiet once it used less than this within a look's time. A look is longer than the journal keeps records that
/// nobody waits for: what a call leaves to be written belongs to it.
const QUIET: Duration = Duration::from_micros(500);
const LOOK: Duration = Duration::from_millis(75);

/// It does not take longer than this to become quiet, or its own upkeep is what is seen.
const LOOKS_MAX: usize = 20;

/// The ids of its processes.
#[derive(Clone, Debug)]
pub struct Meter(pub Vec<u32>);

impl Meter {
    /// User and system time of all threads so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        self.0.iter().map(|id| cpu_of(*id)).sum()
    }

    /// Waits until what was asked of it is done, what happens after the answers too; answers the CPU time then.
    pub async fn quiet(&self) -> anyhow::Result<Duration> {
        let mut before = self.cpu()?;
        for _ in 0..LOOKS_MAX {
            tokio::time::sleep(LOOK).await;
            let now = self.cpu()?;
            if now.saturating_sub(before) < QUIET {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }
}

#[expect(
    unsafe_code,
    reason = "no safe call reads the CPU clock of another process, and /proc counts in 10 ms"
)]
fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    let id = libc::pid_t::try_from(process)?;
    // SAFETY: both pointers are to live values of the types that the functions write.
    let failed = unsafe {
        libc::clock_getcpuclockid(id, &raw mut clock) != 0 || libc::clock_gettime(clock, &raw mut time) != 0
    };
    anyhow::ensure!(!failed, "the CPU clock of process {id} can't be read");
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}
