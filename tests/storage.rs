//! A damaged journal never panics, and never comes back with fewer records than were acknowledged without saying so.
//!
//! By default a sample of the damages is tried; `BURSAR_DAMAGE=all cargo test --test storage` tries each single byte, and
//! a number instead of `all` each so-manieth.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a panic is how a test fails")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bursar::storage::{Engine, Limits, Opened, Urgency, open, verify};
use tempfile::TempDir;

/// Records in the store that is damaged: several leaves of sled's, and more than one opening.
const RECORDS: u64 = 300;

fn payload(number: u64) -> Vec<u8> {
    let length = if number.is_multiple_of(97) { 9_000 } else { 30 + number % 150 };
    (0..length).map(|n| (n * number % 251) as u8).collect()
}

/// In memory where that is possible: thousands of stores are opened here, and no power is cut.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open_in(dir: &Path) -> Opened {
    open(dir, Limits::default(), Engine::Sled).unwrap()
}

/// A closed store of [`RECORDS`] records, written in three openings; `trimmed` of them were given up.
struct Sound {
    dir: TempDir,
    trimmed: u64,
    /// The snapshot that sled wrote at the second opening: its name and content.
    old_snapshot: (String, Vec<u8>),
}

impl Sound {
    async fn new(trimmed: u64) -> Self {
        let dir = scratch();
        let mut old_snapshot = None;
        for opening in 0..3 {
            let opened = open_in(dir.path());
            let journal = opened.journal;
            for number in opening * RECORDS / 3 + 1..=(opening + 1) * RECORDS / 3 {
                assert_eq!(journal.append(&payload(number), Urgency::Now), Ok(number));
                if number.is_multiple_of(3) {
                    journal.wait(number).await.unwrap();
                }
            }
            if opening == 1 {
                let path = snapshot(&store(dir.path()));
                old_snapshot = Some((name(&path), fs::read(path).unwrap()));
            }
            journal.trim(if opening == 2 { trimmed } else { 0 });
            journal.close().unwrap();
        }
        Self { dir, trimmed, old_snapshot: old_snapshot.unwrap() }
    }

    /// Damages a copy, opens it, and checks what may be expected. Says whether the records survived.
    fn damaged(&self, what: &str, damage: impl FnOnce(&Path)) -> bool {
        let copy = scratch();
        copy_tree(self.dir.path(), copy.path());
        damage(&copy.path().join("generation-000001"));
        // Now and then, as it takes a copy on a real disk.
        let looked_at = what.len().is_multiple_of(4).then(|| verify(copy.path(), Limits::default()).unwrap());
        let opened = open_in(copy.path());
        let survived = match &opened.set_aside {
            None => {
                self.assert_sound(&opened, what);
                assert_eq!(looked_at.and_then(|report| report.damage), None, "{what}");
                true
            }
            Some(aside) => {
                let message = aside.why.to_string();
                assert!(message.len() > 10, "{what}: {message}");
                assert!(
                    looked_at.is_none_or(|report| report.damage.is_some()),
                    "{what}: verify missed: {message}"
                );
                assert!(aside.path.join("why.txt").exists(), "{what}");
                assert_eq!((opened.records.len(), opened.start), (0, 1), "{what}");
                assert_ne!(aside.id, Some(opened.id), "{what}");
                for (record, number) in aside.salvaged.iter().zip(self.trimmed + 1..) {
                    assert_eq!((record.number, &record.payload), (number, &payload(number)), "{what}");
                }
                false
            }
        };
        // Whatever it was: the journal works, and closes.
        opened.journal.append(&[1], Urgency::Now).unwrap();
        opened.journal.close().unwrap_or_else(|error| panic!("{what}: {error}"));
        survived
    }

    fn assert_sound(&self, opened: &Opened, what: &str) {
        let expected = self.trimmed + 1..=RECORDS;
        assert!(opened.records.iter().map(|record| record.number).eq(expected), "{what}");
        for record in &opened.records {
            assert_eq!(record.payload, payload(record.number), "{what}: record {}", record.number);
        }
    }
}

fn store(dir: &Path) -> PathBuf {
    dir.join("generation-000001/store")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn snapshot(store: &Path) -> PathBuf {
    let files = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| name(path).starts_with("snap.")).max().unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy_tree(&path, &target);
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}

/// Every `sampled`th of `all`, beginning at an odd place, or each one if the environment asks for it.
fn sample(all: std::ops::Range<u64>, sampled: u64) -> impl Iterator<Item = u64> {
    let step = match std::env::var("BURSAR_DAMAGE").as_deref() {
        Ok("all") => 1,
        Ok(step) => step.parse().unwrap(),
        Err(_) => sampled,
    };
    (all.start + (step / 3)..all.end).step_by(usize::try_from(step).unwrap())
}

fn write_at(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn flip(path: &Path, at: u64, bit: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
}

/// How many bytes of the log hold anything: the rest of its segment is zeros.
fn written(sound: &Sound) -> u64 {
    let db = fs::read(store(sound.dir.path()).join("db")).unwrap();
    db.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn nothing_is_wrong_with_a_sound_store() {
    for trimmed in [0, 100, RECORDS] {
        assert!(Sound::new(trimmed).await.damaged("nothing", |_| {}));
    }
}

#[tokio::test]
async fn a_log_cut_anywhere() {
    // Nothing was given up, so the last message of the log holds the last records.
    let sound = Sound::new(0).await;
    let (written, whole) = (written(&sound), length(&store(sound.dir.path()).join("db")));
    let tail = written - 1_200;
    // The last messages byte by byte, and a little of the zeros that sled leaves after it.
    // The last message may itself end in zeros: the first cut that leaves it whole says where its end is.
    let whole_at = |cut: &u64| {
        sound.damaged(&format!("db cut at {cut} for its end"), |dir| {
            OpenOptions::new().write(true).open(dir.join("store/db")).unwrap().set_len(*cut).unwrap();
        })
    };
    let end = (written..written + 8).find(whole_at).expect("a log that holds all its bytes is whole");
    let cuts = sample(0..tail, 6_007).chain(sample(tail..written - 300, 11));
    for cut in cuts.chain(written - 300..written + 3).chain([whole - 1]) {
        let cut_off = |dir: &Path| {
            OpenOptions::new().write(true).open(dir.join("store/db")).unwrap().set_len(cut).unwrap();
        };
        let whole = sound.damaged(&format!("db cut at {cut}, {written} bytes written"), cut_off);
        assert_eq!(whole, cut >= end, "cut at {cut}, {end} bytes needed, {written} not zero at their end");
    }
}

#[tokio::test]
async fn a_head_cut_or_flipped_anywhere() {
    let sound = Sound::new(40).await;
    for cut in sample(0..8192, 509) {
        sound.damaged(&format!("head cut at {cut}"), |dir| {
            OpenOptions::new().write(true).open(dir.join("head")).unwrap().set_len(cut).unwrap();
        });
    }
    for at in sample(0..90, 3).chain(sample(4096..4186, 3)).chain([90, 4095, 8191]) {
        let what = format!("byte {at} of the head flipped");
        assert!(
            sound.damaged(&what, |dir| flip(&dir.join("head"), at, at % 8)),
            "{what}: one slot is enough"
        );
    }
    assert!(!sound.damaged("no head", |dir| fs::remove_file(dir.join("head")).unwrap()));
}

#[tokio::test]
async fn any_byte_flipped() {
    let sound = Sound::new(40).await;
    let store = store(sound.dir.path());
    let snapshot = name(&snapshot(&store));
    for (file, sampled) in [("db", 307), ("conf", 3), (&snapshot, 23)] {
        let (mut tried, mut survived) = (0, 0);
        let end = if file == "db" { written(&sound) + 4_096 } else { length(&store.join(file)) };
        for at in sample(0..end, sampled) {
            let what = format!("bit {} of byte {at} of {file} flipped", at % 8);
            let whole = sound.damaged(&what, |dir| flip(&dir.join("store").join(file), at, at % 8));
            assert!(whole || file != snapshot, "{what}: a snapshot only saves time");
            tried += 1;
            survived += u32::from(whole);
        }
        println!("{file}: {tried} flips, {survived} survived");
    }
}

#[tokio::test]
async fn any_page_zeroed() {
    let sound = Sound::new(40).await;
    for page in sample(0..written(&sound).div_ceil(4096), 3) {
        sound.damaged(&format!("page {page} of db zeroed"), |dir| {
            write_at(&dir.join("store/db"), page * 4096, &[0; 4096]);
        });
    }
    for page in 0..2 {
        sound.damaged(&format!("slot {page} of the head zeroed"), |dir| {
            write_at(&dir.join("head"), page * 4096, &[0; 4096]);
        });
    }
}

#[tokio::test]
async fn snapshots_left_behind() {
    let sound = Sound::new(40).await;
    let (old_name, old) = &sound.old_snapshot;
    let newest = name(&snapshot(&store(sound.dir.path())));
    for (what, file, content) in [
        ("an unfinished one", "snap.00000000000FFFFF.generating", &b"half"[..]),
        ("an unfinished one without content", "snap.FFFFFFFFFFFFFFFF.generating", b""),
        ("an old one beside the newest", old_name, old),
        ("the old one under the newest's name", &newest, old),
        ("the old one under a higher name", "snap.00000000FFFFFFFF", old),
        ("rubbish under a higher name", "snap.00000000FFFFFFFF", b"no snapshot at all"),
        ("an empty one under a higher name", "snap.00000000FFFFFFFF", b""),
    ] {
        let leave = |dir: &Path| fs::write(dir.join("store").join(file), content).unwrap();
        assert!(sound.damaged(what, leave), "{what}: the log holds everything");
    }
    assert!(
        sound.damaged("no snapshot at all", |dir| fs::remove_file(dir.join("store").join(&newest)).unwrap())
    );
}

#[tokio::test]
async fn files_that_are_gone_or_swapped() {
    let sound = Sound::new(40).await;
    assert!(!sound.damaged("no log", |dir| fs::remove_file(dir.join("store/db")).unwrap()));
    assert!(!sound.damaged("no files of the engine", |dir| fs::remove_dir_all(dir.join("store")).unwrap()));
    sound.damaged("no conf", |dir| fs::remove_file(dir.join("store/conf")).unwrap());
    let other = Sound::new(40).await;
    let foreign = store(other.dir.path()).join("db");
    assert!(!sound.damaged("another journal's log", |dir| {
        fs::copy(&foreign, dir.join("store/db")).unwrap();
    }));
    let head = other.dir.path().join("generation-000001/head");
    assert!(!sound.damaged("another journal's head", |dir| {
        fs::copy(&head, dir.join("head")).unwrap();
    }));
}

#[tokio::test]
async fn what_can_be_repaired_is_an_error_and_not_damage() {
    let sound = Sound::new(40).await;
    let held = OpenOptions::new().read(true).open(sound.dir.path().join("lock")).unwrap();
    held.lock().unwrap();
    let refused = open(sound.dir.path(), Limits::default(), Engine::Sled).unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(held);
    let db = OpenOptions::new().read(true).open(store(sound.dir.path()).join("db")).unwrap();
    db.lock().unwrap();
    let refused = open(sound.dir.path(), Limits::default(), Engine::Sled).unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(db);
    sound.assert_sound(&open_in(sound.dir.path()), "after the locks are gone");
}

#[tokio::test]
async fn a_bloated_store_is_rewritten_with_what_is_live() {
    let dir = scratch();
    let opened = open_in(dir.path());
    for number in 1..=4_000 {
        opened.journal.append(&payload(number), Urgency::Now).unwrap();
        if number % 10 == 0 {
            opened.journal.wait(number).await.unwrap();
        }
    }
    opened.journal.trim(3_900);
    let id = opened.id;
    opened.journal.close().unwrap();
    let before = length(&store(dir.path()).join("db"));
    let limits = Limits { disk_bytes_floor: 1, ..Limits::default() };
    let opened = open(dir.path(), limits, Engine::Sled).unwrap();
    assert_eq!((opened.id, opened.start, opened.clean), (id, 2, true));
    assert!(opened.records.iter().map(|record| record.number).eq(3_901..=4_000));
    let after = length(&dir.path().join("generation-000002/store/db"));
    assert!(after < before, "{before} bytes became {after}");
    assert!(!dir.path().join("generation-000001").exists());
    assert_eq!(opened.journal.append(&payload(4_001), Urgency::Now), Ok(4_001));
    opened.journal.close().unwrap();
    let report = verify(dir.path(), Limits::default()).unwrap();
    assert_eq!((report.damage, report.records, report.newest.unwrap().0), (None, 101, 4_001));
}

#[tokio::test]
async fn sled_keeps_everything_in_its_log() {
    let dir = scratch();
    let opened = open_in(dir.path());
    for number in 1..=3_000 {
        opened.journal.append(&vec![7; (number * 37 % 12_000) as usize], Urgency::Soon).unwrap();
        if number % 100 == 0 {
            opened.journal.wait(number).await.unwrap();
            opened.journal.trim(number.saturating_sub(500));
        }
    }
    opened.journal.close().unwrap();
    let blobs = fs::read_dir(store(dir.path()).join("blobs")).unwrap().count();
    assert_eq!(blobs, 0, "blob files are not synced by sled: chunks must stay below their size");
}

#[tokio::test]
async fn a_store_in_use_is_not_looked_at_and_one_set_aside_is() {
    let sound = Sound::new(0).await;
    let opened = open_in(sound.dir.path());
    assert!(verify(sound.dir.path(), Limits::default()).unwrap_err().to_string().contains("in use"));
    opened.journal.close().unwrap();
    let report = verify(sound.dir.path(), Limits::default()).unwrap();
    assert_eq!((report.records, report.clean, report.start), (RECORDS, Some(true), Some(4)));
    fs::remove_file(store(sound.dir.path()).join("db")).unwrap();
    let aside = open_in(sound.dir.path()).set_aside.unwrap();
    let report = verify(&aside.path, Limits::default()).unwrap();
    assert!(report.damage.unwrap().to_string().contains("missing at the end"));
    let report = verify(sound.dir.path(), Limits::default()).unwrap();
    assert_eq!((report.damage, report.set_aside), (None, vec![aside.path]));
    let nowhere = verify(Path::new("/nonexistent"), Limits::default()).unwrap_err().to_string();
    assert!(nowhere.contains("holds no journal"), "{nowhere}");
}
