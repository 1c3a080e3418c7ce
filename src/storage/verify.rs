//! What `bursar journal verify` and `dump` read: a copy of the journal, checked as at opening, so that looking at it
//! changes nothing (sled writes to a store merely by opening it).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::chain::Walk;
use super::frame::Link;
use super::generation;
use super::journal::OpenError;
use super::recovery::{self, Damage};
use super::sled_store::bytes_below;
use super::store::{Finding, Limits, StoredRecord};

/// Why a journal could not be looked at.
#[derive(Debug, Error)]
pub enum VerifyError {
    #[error("`{path}` holds no journal: give the directory that a sidecar or a ledger was started with, or one set aside", path = path.display())]
    NoJournal { path: PathBuf },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What a journal holds, and whether it is whole.
#[derive(Debug)]
pub struct Report {
    /// The journal's id, where its head could be read.
    pub id: Option<[u8; 16]>,
    /// How often it was started; `None` where it is damaged.
    pub start: Option<u64>,
    pub clean: Option<bool>,
    /// Records through this one were given up.
    pub trimmed: Option<u64>,
    /// The newest record and its link.
    pub newest: Option<(u64, Link)>,
    pub records: u64,
    pub payload_bytes: u64,
    pub disk_bytes: u64,
    /// The first thing wrong with it.
    pub damage: Option<Finding>,
    /// Damaged stores kept beside it, oldest first.
    pub set_aside: Vec<PathBuf>,
}

/// A report and the records behind it: all that are live, or with damage those before it.
#[derive(Debug)]
pub struct Contents {
    pub report: Report,
    pub records: Vec<StoredRecord>,
}

/// Checks the journal in `dir`: numbers, links, checksums and head.
pub fn verify(dir: &Path, limits: Limits) -> Result<Report, VerifyError> {
    read(dir, limits).map(|contents| contents.report)
}

/// Reads the journal in `dir`, which may also be a store that was set aside. It must not be in use.
pub fn read(dir: &Path, limits: Limits) -> Result<Contents, VerifyError> {
    let no_journal = || VerifyError::NoJournal { path: dir.to_owned() };
    if !dir.is_dir() {
        return Err(no_journal());
    }
    let _lock = generation::lock_to_read(dir)?;
    let newest = generation::newest(dir).map_err(OpenError::io("read", dir))?;
    let stored =
        newest.or_else(|| dir.join("store").is_dir().then(|| dir.to_owned())).ok_or_else(no_journal)?;
    let set_aside = generation::set_asides(dir).map_err(OpenError::io("read", dir))?;
    let disk_bytes = bytes_below(&stored).map_err(OpenError::io("measure", &stored))?;
    let copy = Copy::of(&stored).map_err(OpenError::io("copy", &stored))?;
    let (mut report, records) = match recovery::load(&copy.0, limits.open_within)? {
        Ok(loaded) => {
            let walk = loaded.dismiss();
            (sound(&walk), walk.records)
        }
        Err(Damage { why, id, salvaged }) => (damaged(why, id, &salvaged), salvaged),
    };
    report.records = records.len() as u64;
    report.payload_bytes = records.iter().map(|record| record.payload.len() as u64).sum();
    (report.disk_bytes, report.set_aside) = (disk_bytes, set_aside);
    Ok(Contents { report, records })
}

fn sound(walk: &Walk) -> Report {
    let head = walk.head;
    let newest = (head.number > 0).then_some((head.number, head.link));
    let (start, clean, trimmed) = (Some(head.start), Some(head.clean), Some(head.trimmed));
    Report { id: Some(head.id), start, clean, trimmed, newest, ..nothing() }
}

fn damaged(why: Finding, id: Option<[u8; 16]>, salvaged: &[StoredRecord]) -> Report {
    let newest = salvaged.last().map(|record| (record.number, record.link));
    Report { id, newest, damage: Some(why), ..nothing() }
}

fn nothing() -> Report {
    Report {
        id: None,
        start: None,
        clean: None,
        trimmed: None,
        newest: None,
        records: 0,
        payload_bytes: 0,
        disk_bytes: 0,
        damage: None,
        set_aside: Vec::new(),
    }
}

/// A copy in the directory for temporary files, gone when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(from: &Path) -> io::Result<Self> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bursar-verify-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        let this = Self(path);
        copy_tree(from, &this.0)?;
        Ok(this)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays behind is a copy in a place that is cleared anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
