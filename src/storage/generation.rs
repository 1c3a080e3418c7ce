//! The journal's directories.
//!
//! `lock` · `generation-<n>/` with `head` and `store/` (sled's files) · `generation-<n>.new/`, one being built · `set-aside-<n>/`,
//! a damaged one, kept for people to look at. A generation is built beside the present one and becomes it by one
//! rename, so a crash at any step leaves either the old or the new one whole.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::journal::OpenError;
use super::store::{Finding, StoredRecord};

/// Damaged stores kept at most: enough to look at the last one and the one before.
const SET_ASIDE_MAX: usize = 2;

const LOCK: &str = "lock";
const GENERATION: &str = "generation-";
const UNFINISHED: &str = ".new";
const ASIDE: &str = "set-aside-";

/// A damaged store that was kept, and why.
#[derive(Debug)]
pub struct SetAside {
    /// Where it lies now.
    pub path: PathBuf,
    pub why: Finding,
    /// The id of the journal it held, where its head could be read.
    pub id: Option<[u8; 16]>,
    /// The sound records before the damage, in order: acknowledged once, and nowhere else on this disk.
    pub salvaged: Vec<StoredRecord>,
}

/// The journal's directory, locked.
#[derive(Debug)]
pub(super) struct Room {
    dir: PathBuf,
    /// Held for as long as the file is open.
    pub lock: File,
}

impl Room {
    /// Makes the directory if need be, locks it, and clears what an interrupted build left.
    pub(super) fn enter(dir: &Path) -> Result<Self, OpenError> {
        let created = !dir.exists();
        // Who ran what, and what it cost, is nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(OpenError::io("create", dir))?;
        if created && let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent).map_err(OpenError::io("sync", parent))?;
        }
        let path = dir.join(LOCK);
        let lock =
            OpenOptions::new().create(true).append(true).open(&path).map_err(OpenError::io("open", &path))?;
        try_lock(&lock, dir)?;
        let room = Self { dir: dir.to_owned(), lock };
        for (path, name) in room.entries()? {
            if name.starts_with(GENERATION) && name.ends_with(UNFINISHED) {
                fs::remove_dir_all(&path).map_err(OpenError::io("remove", &path))?;
            }
        }
        Ok(room)
    }

    /// The newest generation. An older one is what a rewrite replaced: it is removed.
    pub(super) fn current(&self) -> Result<Option<u64>, OpenError> {
        let mut found = numbered(self.entries()?, GENERATION);
        let newest = found.pop();
        for (_, path) in found {
            fs::remove_dir_all(&path).map_err(OpenError::io("remove", &path))?;
        }
        Ok(newest.map(|(number, _)| number))
    }

    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{GENERATION}{number:06}"))
    }

    /// Builds a generation: `fill` writes its files into the directory that it is given.
    pub(super) fn build(
        &self,
        number: u64,
        fill: impl FnOnce(&Path) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let path = self.generation(number);
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        fs::create_dir(&unfinished).map_err(OpenError::io("create", &unfinished))?;
        fill(&unfinished)?;
        sync_tree(&unfinished).map_err(OpenError::io("sync", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(OpenError::io("rename", &unfinished))?;
        sync_dir(&self.dir).map_err(OpenError::io("sync", &self.dir))
    }

    /// Moves a damaged generation out of the way and keeps it, with a note of what is wrong with it.
    pub(super) fn set_aside(&self, number: u64, why: &Finding) -> Result<PathBuf, OpenError> {
        let from = self.generation(number);
        let mut kept = numbered(self.entries()?, ASIDE);
        let next = kept.last().map_or(1, |(number, _)| number + 1);
        let to = self.dir.join(format!("{ASIDE}{next:06}"));
        let note = from.join("why.txt");
        fs::write(&note, format!("{why}\n")).map_err(OpenError::io("write", &note))?;
        fs::rename(&from, &to).map_err(OpenError::io("rename", &from))?;
        kept.push((next, to.clone()));
        let surplus = kept.len().saturating_sub(SET_ASIDE_MAX);
        for (_, path) in kept.into_iter().take(surplus) {
            fs::remove_dir_all(&path).map_err(OpenError::io("remove", &path))?;
        }
        sync_dir(&self.dir).map_err(OpenError::io("sync", &self.dir))?;
        Ok(to)
    }

    fn entries(&self) -> Result<Vec<(PathBuf, String)>, OpenError> {
        entries(&self.dir).map_err(OpenError::io("read", &self.dir))
    }
}

/// Locks the journal without changing anything in its directory, for a reader.
pub(super) fn lock_to_read(dir: &Path) -> Result<Option<File>, OpenError> {
    let path = dir.join(LOCK);
    match File::open(&path) {
        Ok(lock) => {
            try_lock(&lock, dir)?;
            Ok(Some(lock))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("open", &path)(error)),
    }
}

/// The newest generation in a directory that may not be changed.
pub(super) fn newest(dir: &Path) -> io::Result<Option<PathBuf>> {
    Ok(numbered(entries(dir)?, GENERATION).pop().map(|(_, path)| path))
}

/// What was set aside in a directory, oldest first.
pub(super) fn set_asides(dir: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbered(entries(dir)?, ASIDE).into_iter().map(|(_, path)| path).collect())
}

fn try_lock(lock: &File, dir: &Path) -> Result<(), OpenError> {
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Locked { dir: dir.to_owned() },
        TryLockError::Error(error) => OpenError::io("lock", dir)(error),
    })
}

fn entries(dir: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned())))
        .collect()
}

/// Those with `prefix` and nothing but a number after it, by number.
fn numbered(entries: Vec<(PathBuf, String)>, prefix: &str) -> Vec<(u64, PathBuf)> {
    let number = |name: &str| name.strip_prefix(prefix)?.parse().ok();
    let mut found: Vec<(u64, PathBuf)> =
        entries.into_iter().filter_map(|(path, name)| Some((number(&name)?, path))).collect();
    found.sort_unstable();
    found
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes every file and name below a directory durable.
pub(super) fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = entries(dir).unwrap().into_iter().map(|(_, name)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn an_interrupted_build_leaves_no_trace_and_a_finished_one_replaces_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::enter(dir.path()).unwrap();
        room.build(1, |_| Ok(())).unwrap();
        let failed = room.build(2, |_| Err(OpenError::Locked { dir: PathBuf::new() }));
        assert!(failed.is_err());
        assert_eq!(names(dir.path()), ["generation-000001", "generation-000002.new", "lock"]);
        drop(room);
        let room = Room::enter(dir.path()).unwrap();
        assert_eq!(room.current().unwrap(), Some(1));
        room.build(2, |_| Ok(())).unwrap();
        assert_eq!(room.current().unwrap(), Some(2));
        assert_eq!(names(dir.path()), ["generation-000002", "lock"]);
    }

    #[test]
    fn two_damaged_stores_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::enter(dir.path()).unwrap();
        for number in 1..5 {
            room.build(number, |_| Ok(())).unwrap();
            let kept = room.set_aside(number, &Finding::Head("there is none")).unwrap();
            assert!(fs::read_to_string(kept.join("why.txt")).unwrap().contains("there is none"));
        }
        assert_eq!(names(dir.path()), ["lock", "set-aside-000003", "set-aside-000004"]);
    }

    #[test]
    fn a_room_has_one_tenant() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::enter(dir.path()).unwrap();
        assert!(matches!(Room::enter(dir.path()), Err(OpenError::Locked { .. })));
        assert!(matches!(lock_to_read(dir.path()), Err(OpenError::Locked { .. })));
        drop(room);
        Room::enter(dir.path()).unwrap();
    }
}
