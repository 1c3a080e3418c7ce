//! No acknowledged record is lost, whenever the power fails or the process is killed.
//!
//! `BURSAR_POWER_CUTS=300 cargo test --test power_cut` cuts more often than the 20 times of every day. The control, which
//! must lose records, is `as_shipped.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program that is a test: a panic is how it fails"
)]

mod rig;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use bursar::storage::{Engine, Journal, Limits, Urgency, open};
use rig::{Dice, Disk, IMAGE_BYTES, Moment, Said, cuts, skip, write_until};

/// Records that the writer keeps: older ones it trims, so that sled recycles its segments.
const KEPT: u64 = 2_000;
/// Callers that wait for their record before they write the next one.
const CALLERS: u64 = 8;
/// Cuts of one filesystem: each one goes on with what the last one left.
const CUTS_PER_DISK: u64 = 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("write") => write(Path::new(&arguments[2]), arguments[3].parse().unwrap()),
        // Asked for by runners that list tests first.
        Some("--list") => println!("power_cut: test"),
        _ => {
            kill();
            cut();
            fill();
        }
    }
    ExitCode::SUCCESS
}

/// A record whose bytes follow from its tag, and whose tag is written in front.
fn bytes(tag: u64) -> Vec<u8> {
    let mut dice = Dice(tag);
    // Mostly what a charge takes; now and then more than one chunk.
    let length = if dice.roll(500) == 0 { dice.roll(30_000) } else { 40 + dice.roll(400) };
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.extend((0..length).map(|_| dice.roll(256) as u8));
    bytes
}

/// A disk without power answers with errors, at which sled's thread panics: as it should, and nobody need read of it.
fn expect_the_journal_to_panic() {
    let says = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("journal") {
            says(panic);
        }
    }));
}

/// The child: writes until somebody takes its power or its life.
fn write(dir: &Path, seed: u64) {
    expect_the_journal_to_panic();
    // Every other writer rewrites its files into a new generation first, so that this is interrupted too.
    let disk_bytes_floor = if seed.is_multiple_of(2) { 1 } else { u64::MAX };
    let limits = Limits { disk_bytes_floor, ..Limits::default() };
    let opened = match open(dir, limits, Engine::Sled) {
        Ok(opened) => opened,
        // The cut came while it opened. Whatever else was wrong, the check finds it too.
        Err(error) => return eprintln!("the writer: {error}"),
    };
    let (journal, tags) = (opened.journal, AtomicU64::new(seed << 32));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (journal, tags, handle) = (&journal, &tags, runtime.handle().clone());
            scope.spawn(move || while let Some(()) = handle.block_on(one(journal, tags, caller)) {});
        }
    });
}

async fn one(journal: &Journal, tags: &AtomicU64, caller: u64) -> Option<()> {
    let tag = tags.fetch_add(1, Ordering::Relaxed);
    let bytes = bytes(tag);
    // Some records nobody waits for.
    if tag.is_multiple_of(3) {
        journal.append(&bytes, Urgency::Soon).ok()?;
    }
    let number = journal.append(&bytes, Urgency::Now).ok()?;
    journal.wait(number).await.ok()?;
    say("acknowledged", number);
    if caller == 0 && number % 50 < CALLERS && number > KEPT {
        say("trimmed", number - KEPT);
        journal.trim(number - KEPT);
    }
    Some(())
}

fn say(word: &str, number: u64) {
    let line = format!("{word} {number}\n");
    // Locked for the whole line, so that no line mixes with another.
    let mut out = std::io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Everything acknowledged is there, nothing is set aside, and every record is what was written.
fn check(dir: &Path, before: Said, what: &str) -> (u64, u64) {
    let opened = open(dir, Limits::default(), Engine::Sled).unwrap();
    assert!(opened.set_aside.is_none(), "{what}: set aside: {:?}", opened.set_aside.map(|aside| aside.why));
    assert!(!opened.clean || before.acknowledged == 0, "{what}: it was no clean stop");
    let first = opened.records.first().map_or(0, |record| record.number);
    let last = opened.records.last().map_or(0, |record| record.number);
    assert!(
        last >= before.acknowledged,
        "{what}: {} was acknowledged, the last is {last}",
        before.acknowledged
    );
    assert!(
        first <= before.trimmed + 1,
        "{what}: only {} were given up, the first is {first}",
        before.trimmed
    );
    for record in &opened.records {
        let (tag, _) = record.payload.split_first_chunk::<8>().unwrap();
        assert_eq!(record.payload, bytes(u64::from_le_bytes(*tag)), "{what}: record {}", record.number);
    }
    (first, last)
}

/// Said over several rounds on one disk.
fn so_far(before: Said, now: Said) -> Said {
    Said { acknowledged: before.acknowledged.max(now.acknowledged), trimmed: before.trimmed.max(now.trimmed) }
}

/// Mostly in the middle of writing; every third time at the start, which takes some 50 ms.
fn moment(dice: &mut Dice) -> Moment {
    match dice.roll(3) {
        0 => Moment::Opening(dice.roll(100_000)),
        _ => Moment::Writing(dice.roll(400_000)),
    }
}

/// Works on every machine: the process is killed, the disk stays.
fn kill() {
    let (dir, mut said, mut dice) = (tempfile::tempdir().unwrap(), Said::default(), Dice(7));
    let kills = cuts(20);
    for round in 0..kills {
        let now = write_until(dir.path(), round + 1, moment(&mut dice), |child| child.kill().unwrap());
        said = so_far(said, now);
        check(dir.path(), said, &format!("kill {round}"));
    }
    println!("{kills} kills, {} records acknowledged, none lost", said.acknowledged);
}

fn cut() {
    let (cuts, mut dice, mut acknowledged) = (cuts(20), Dice(11), 0);
    let mut done = 0;
    while done < cuts {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = match Disk::new(dir.path()) {
            Ok(disk) => disk,
            Err(why) => return skip("power_cut", &why),
        };
        let (journal, mut said) = (disk.mount.join("journal"), Said::default());
        for _ in 0..CUTS_PER_DISK.min(cuts - done) {
            done += 1;
            let now = write_until(&journal, done, moment(&mut dice), |_| disk.cut().unwrap());
            said = so_far(said, now);
            disk.unplug().unwrap();
            disk.plug_in().unwrap();
            check(&journal, said, &format!("cut {done}"));
        }
        acknowledged += said.acknowledged;
        disk.unplug().unwrap();
    }
    println!("{cuts} power cuts, {acknowledged} records acknowledged, none lost");
}

/// A full disk is an error, never damage: nothing is set aside, and with some space freed every acknowledged record is there.
fn fill() {
    let dir = tempfile::tempdir().unwrap();
    let disk = match Disk::new(dir.path()) {
        Ok(disk) => disk,
        Err(why) => return skip("power_cut: the full disk", &why),
    };
    let (journal, ballast) = (disk.mount.join("journal"), disk.mount.join("ballast"));
    let mut said = Said::default();
    for round in 1..=3 {
        // Some megabytes are left, and each round fills them at another point of sled's work.
        let left = IMAGE_BYTES / 64 + round * 333_333;
        let free = free_bytes(&disk.mount);
        let blocks = vec![1; 1 << 16];
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
        (0..free.saturating_sub(left) / blocks.len() as u64).for_each(|_| file.write_all(&blocks).unwrap());
        file.sync_all().unwrap();
        // A removed file keeps its space for as long as it is open.
        drop(file);
        said.acknowledged = said.acknowledged.max(append_until_full(&journal));
        match open(&journal, Limits::default(), Engine::Sled) {
            Ok(opened) => assert!(opened.set_aside.is_none(), "full {round}: {:?}", opened.set_aside),
            Err(error) => assert!(error.to_string().contains("is full"), "full {round}: {error}"),
        }
        std::fs::remove_file(&ballast).unwrap();
        check(&journal, said, &format!("full {round}"));
    }
    println!("3 full disks, {} records acknowledged, none lost", said.acknowledged);
}

/// The last record that was acknowledged.
fn append_until_full(dir: &Path) -> u64 {
    let opened = open(dir, Limits::default(), Engine::Sled).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for tag in 0.. {
            let number = match opened.journal.append(&bytes(tag), Urgency::Now) {
                Ok(number) => number,
                Err(_) => break,
            };
            if tag.is_multiple_of(16) && opened.journal.wait(number).await.is_err() {
                break;
            }
        }
    });
    let ended = opened.journal.ended().unwrap().to_string();
    assert!(ended.contains("full"), "{ended}");
    opened.journal.durable()
}

fn free_bytes(mount: &Path) -> u64 {
    let output =
        std::process::Command::new("df").args(["-B1", "--output=avail"]).arg(mount).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
}
