//! The data directory: is it there, is it safe, is there room.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FsWord, statfs, statvfs};

use super::check::Check;
use crate::runtime::Clock;

/// Room that a ledger on its own store should find: some hundred thousand accounts.
pub const LEDGER_ROOM: u64 = 2 << 30;

/// File systems that forget: a restart of the machine, or of the container, leaves nothing.
const FORGETFUL: [(FsWord, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// Writes that are tried, each of so many bytes and then synced: as the journal writes.
const WRITES: usize = 16;
const WRITE_BYTES: usize = 4096;

/// A synced write that takes longer makes each commit slow.
const SLOW: Duration = Duration::from_millis(20);

/// All that can be said of the directory. `room`: how much a process may come to need there.
pub fn looked_at(dir: &Path, room: u64) -> Vec<Check> {
    let directory = directory(dir);
    let Ok(place) = directory else {
        let why = "there is no directory to look at".to_owned();
        return vec![
            directory.unwrap_or_else(|check| check),
            Check::skipped("durability", why.clone()),
            Check::skipped("space", why),
        ];
    };
    vec![place, durability(dir), space(dir, room)]
}

/// The error is what ends it.
fn directory(dir: &Path) -> Result<Check, Check> {
    let shown = dir.display();
    if !dir.exists() {
        // Made here, it would belong to whoever asks, and not to the process.
        return Err(Check::skipped(
            "data-directory",
            format!("`{shown}` is not there yet: the process makes it when it starts"),
        ));
    }
    match Trial::begin(dir).map(drop) {
        Ok(()) => Ok(Check::ok("data-directory", format!("`{shown}` can be written"))),
        Err(why) => Err(Check::failed(
            "data-directory",
            format!("`{shown}` can't be written: {why}"),
            "give it to the user that the process runs as, or name another by `data_dir`".to_owned(),
        )),
    }
}

fn durability(dir: &Path) -> Check {
    let advice = "keep `data_dir` on a disk that survives a restart: what is answered as charged is on it alone until the \
                  ledger has it";
    match statfs(dir) {
        Ok(found) => {
            if let Some((_, name)) = FORGETFUL.iter().find(|(magic, _)| *magic == found.f_type) {
                let found = format!("it is a {name}, in memory: a restart of the machine forgets it");
                return Check::warning("durability", found, advice.to_owned());
            }
        }
        Err(why) => {
            return Check::failed(
                "durability",
                format!("what it is can't be told: {why}"),
                advice.to_owned(),
            );
        }
    }
    match synced_write(dir) {
        Ok(took) if took > SLOW => Check::warning(
            "durability",
            format!("a synced write takes {took:.1?}"),
            "each commit waits for one: use a faster disk, or one with a write cache that survives a power cut".to_owned(),
        ),
        Ok(took) => Check::ok("durability", format!("a synced write takes {took:.1?}")),
        Err(why) => Check::failed("durability", format!("a synced write failed: {why}"), advice.to_owned()),
    }
}

/// The median of some.
fn synced_write(dir: &Path) -> io::Result<Duration> {
    let (mut trial, clock) = (Trial::begin(dir)?, Clock::system());
    let mut took = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = clock.boottime();
        trial.file.write_all(&[0x5a; WRITE_BYTES])?;
        trial.file.sync_data()?;
        took.push(clock.boottime().since(began));
    }
    took.sort_unstable();
    Ok(took.get(WRITES / 2).copied().unwrap_or_default())
}

fn space(dir: &Path, room: u64) -> Check {
    const MIB: u64 = 1 << 20;
    let free = match statvfs(dir) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(why) => {
            let advice = "look at the disk by hand".to_owned();
            return Check::failed("space", format!("how much is free can't be told: {why}"), advice);
        }
    };
    let found = format!("{} MiB are free, {} MiB may come to be needed", free / MIB, room / MIB);
    if free >= room {
        return Check::ok("space", found);
    }
    let advice = "make room, or lower `outbox_bytes_max`: a full disk refuses new work, and loses nothing";
    Check::warning("space", found, advice.to_owned())
}

/// A file that is taken away again.
struct Trial {
    file: fs::File,
    path: PathBuf,
}

impl Trial {
    fn begin(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!(".doctor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Self { file, path })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // What is left behind harms nobody.
        let _left = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn a_directory_is_tried_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let checks = looked_at(dir.path(), 1);
        assert_eq!(
            checks.iter().map(|check| check.name).collect::<Vec<_>>(),
            ["data-directory", "durability", "space"]
        );
        assert!(checks.iter().all(|check| check.state != State::Failed), "{checks:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let short = looked_at(dir.path(), u64::MAX);
        assert_eq!(short.last().map(|check| check.state), Some(State::Warning), "{short:?}");
    }

    #[test]
    fn what_is_no_directory_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let checks = looked_at(&file, 1);
        let states: Vec<_> = checks.iter().map(|check| check.state).collect();
        assert_eq!(states, [State::Failed, State::Skipped, State::Skipped], "{checks:?}");
        let missing = dir.path().join("missing");
        assert!(looked_at(&missing, 1).iter().all(|check| check.state == State::Skipped));
        assert!(!missing.exists(), "it was made");
    }
}
