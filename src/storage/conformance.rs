//! One suite for every engine: what a journal promises, whatever keeps it.

use std::path::PathBuf;

use super::journal::{Engine, Journal, JournalError, OpenError, Opened, Urgency, open};
use super::memory::MemoryDisk;
use super::store::Limits;

/// A place where a journal can be opened again and again.
struct Place {
    dir: PathBuf,
    engine: Engine,
    _keep: Option<tempfile::TempDir>,
}

impl Place {
    fn open_within(&self, limits: Limits) -> Result<Opened, OpenError> {
        open(&self.dir, limits, self.engine.clone())
    }

    fn open(&self) -> Opened {
        let opened = self.open_within(Limits::default()).unwrap();
        assert!(opened.set_aside.is_none(), "{:?}", opened.set_aside);
        opened
    }
}

fn sled() -> Place {
    let keep = tempfile::tempdir().unwrap();
    Place { dir: keep.path().join("journal"), engine: Engine::Sled, _keep: Some(keep) }
}

fn memory() -> Place {
    Place { dir: PathBuf::new(), engine: Engine::Memory(MemoryDisk::new()), _keep: None }
}

/// Runs each promise on each engine, on a place of its own.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        mod on_sled { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::sled()).await; })* }
        mod on_memory { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::memory()).await; })* }
    };
}

promises!(
    records_come_back_in_order,
    a_dropped_journal_wrote_everything_and_was_not_stopped_cleanly,
    trimmed_records_stay_away,
    long_records_come_back,
    callers_on_many_threads_get_every_number_once,
    bounds_refuse_and_trimming_frees,
    a_journal_has_one_owner,
    a_closed_journal_says_so,
);

fn payload(number: u64) -> Vec<u8> {
    format!("record {number} ").repeat(usize::try_from(number % 40).unwrap()).into_bytes()
}

async fn write(journal: &Journal, from: u64, to: u64) {
    for number in from..=to {
        assert_eq!(journal.append(&payload(number), Urgency::Now), Ok(number));
        if number % 7 == 0 {
            journal.wait(number).await.unwrap();
            assert!(journal.durable() >= number);
        }
    }
    journal.wait(to).await.unwrap();
}

fn assert_holds(opened: &Opened, from: u64, to: u64) {
    let numbers: Vec<u64> = opened.records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, (from..=to).collect::<Vec<_>>());
    for record in &opened.records {
        assert_eq!(record.payload, payload(record.number), "record {}", record.number);
    }
    assert_eq!(opened.journal.durable(), to);
}

async fn records_come_back_in_order(place: Place) {
    let first = place.open();
    assert_eq!((first.start, first.clean, first.records.len()), (1, true, 0));
    write(&first.journal, 1, 100).await;
    first.journal.close().unwrap();

    let second = place.open();
    assert_eq!((second.id, second.start, second.clean), (first.id, 2, true));
    assert_holds(&second, 1, 100);
    write(&second.journal, 101, 150).await;
    second.journal.close().unwrap();

    let third = place.open();
    assert_holds(&third, 1, 150);
    assert_eq!((third.records[99].start, third.records[100].start, third.start), (1, 2, 3));
}

async fn a_dropped_journal_wrote_everything_and_was_not_stopped_cleanly(place: Place) {
    let first = place.open();
    for number in 1..=50 {
        first.journal.append(&payload(number), Urgency::Soon).unwrap();
    }
    let clone = first.journal.clone();
    drop(first.journal);
    assert!(clone.append(&payload(51), Urgency::Soon).is_ok(), "a clone keeps it open");
    drop(clone);
    let second = place.open();
    assert!(!second.clean);
    assert_holds(&second, 1, 51);
}

async fn trimmed_records_stay_away(place: Place) {
    let first = place.open();
    write(&first.journal, 1, 700).await;
    for through in [10, 300, 300, 20, 699] {
        first.journal.trim(through);
    }
    write(&first.journal, 701, 720).await;
    first.journal.close().unwrap();
    let second = place.open();
    assert_holds(&second, 700, 720);
    assert_eq!(second.journal.stats().live_records, 21);
    second.journal.trim(u64::MAX);
    second.journal.close().unwrap();
    let third = place.open();
    assert_eq!((third.records.len(), third.journal.stats().live_records), (0, 0));
    assert_eq!(third.journal.stats().live_bytes, 0);
    write(&third.journal, 721, 730).await;
    third.journal.close().unwrap();
    assert_holds(&place.open(), 721, 730);
}

async fn long_records_come_back(place: Place) {
    let first = place.open();
    let lengths = [0, 1, 5_960, 6_000, 6_001, 100_000, 1_000_000, 3];
    for length in lengths {
        let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        first.journal.append(&bytes, Urgency::Soon).unwrap();
    }
    first.journal.wait(lengths.len() as u64).await.unwrap();
    first.journal.close().unwrap();
    let second = place.open();
    for (record, length) in second.records.iter().zip(lengths) {
        assert!(record.payload.iter().copied().eq((0..length).map(|n| (n % 251) as u8)), "length {length}");
    }
    assert_eq!(second.records.len(), lengths.len());
}

async fn callers_on_many_threads_get_every_number_once(place: Place) {
    let opened = place.open();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let journal = opened.journal.clone();
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                for n in 0..20 {
                    let record = format!("{task}:{n}").into_bytes();
                    let number = journal.append(&record, Urgency::Now).unwrap();
                    journal.wait(number).await.unwrap();
                    numbers.push(number);
                }
                numbers
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        let given = task.await.unwrap();
        assert!(given.is_sorted());
        numbers.extend(given);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1280).collect::<Vec<_>>());
    let stats = opened.journal.stats();
    assert_eq!((stats.last, stats.durable), (1280, 1280));
    opened.journal.close().unwrap();
    let again = place.open();
    // What the store holds is counted once a group is done, which may be just after its last caller was told.
    assert_eq!((again.records.len(), again.journal.stats().live_records), (1280, 1280));
    let distinct: std::collections::HashSet<_> = again.records.iter().map(|record| &record.payload).collect();
    assert_eq!(distinct.len(), 1280);
}

/// Bytes that do not get shorter where an engine packs them.
fn noise(length: u64) -> Vec<u8> {
    (0..length).map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[0]).collect()
}

async fn bounds_refuse_and_trimming_frees(place: Place) {
    let few = Limits { records_max: 10, ..Limits::default() };
    let opened = place.open_within(few).unwrap();
    for number in 1..=7 {
        opened.journal.append(&[], Urgency::Now).unwrap();
        assert!(!opened.journal.is_filling(), "at {number}");
    }
    (8..=10).for_each(|number| assert_eq!(opened.journal.append(&[], Urgency::Now), Ok(number)));
    assert!(opened.journal.is_filling());
    assert_eq!(opened.journal.append(&[], Urgency::Now), Err(JournalError::Full));
    opened.journal.wait(10).await.unwrap();
    assert_eq!(opened.journal.append(&[], Urgency::Now), Err(JournalError::Full));
    opened.journal.trim(4);
    let eleventh = loop {
        match opened.journal.append(&[], Urgency::Now) {
            Ok(number) => break number,
            Err(JournalError::Full) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(eleventh, 11, "a refused record took no number");
    opened.journal.close().unwrap();

    let small = Limits { bytes_max: 4_000, ..Limits::default() };
    let opened = place.open_within(small).unwrap();
    opened.journal.trim(11);
    opened.journal.append(&noise(2_000), Urgency::Now).unwrap();
    opened.journal.wait(12).await.unwrap();
    assert_eq!(opened.journal.append(&noise(2_000), Urgency::Now), Err(JournalError::Full));
    opened.journal.append(&noise(1_000), Urgency::Now).unwrap();
    opened.journal.close().unwrap();

    let short = Limits { queue_bytes_max: 100, ..Limits::default() };
    let opened = place.open_within(short).unwrap();
    assert_eq!(opened.journal.append(&[0; 101], Urgency::Soon), Err(JournalError::Full));
    opened.journal.append(&[0; 99], Urgency::Soon).unwrap();
}

async fn a_journal_has_one_owner(place: Place) {
    let opened = place.open();
    write(&opened.journal, 1, 5).await;
    let refused = place.open_within(Limits::default());
    assert!(matches!(refused, Err(OpenError::Locked { .. })), "{:?}", refused.err());
    opened.journal.close().unwrap();
    assert_holds(&place.open(), 1, 5);
}

async fn a_closed_journal_says_so(place: Place) {
    let opened = place.open();
    let other = opened.journal.clone();
    let waiting = tokio::spawn(other.wait(1));
    opened.journal.close().unwrap();
    assert_eq!(waiting.await.unwrap(), Err(JournalError::Closed));
    assert_eq!(other.append(&[], Urgency::Now), Err(JournalError::Closed));
    assert_eq!(other.wait(1).await, Err(JournalError::Closed));
    assert_eq!(other.close(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_nothing_is_acknowledged_until_the_journal_is_opened_again() {
    let disk = MemoryDisk::new();
    let place = Place { dir: PathBuf::new(), engine: Engine::Memory(disk.clone()), _keep: None };
    let opened = place.open();
    write(&opened.journal, 1, 20).await;
    disk.fail(true);
    let number = opened.journal.append(&payload(21), Urgency::Now).unwrap();
    let failed = opened.journal.wait(number).await.unwrap_err();
    assert!(matches!(&failed, JournalError::Failed(why) if why.contains("told to fail")), "{failed}");
    disk.fail(false);
    assert_eq!(opened.journal.append(&[], Urgency::Now), Err(failed.clone()));
    assert_eq!((opened.journal.durable(), opened.journal.ended()), (20, Some(failed.clone())));
    assert_eq!(opened.journal.close(), Err(failed));
    let again = place.open();
    assert!(!again.clean);
    assert_holds(&again, 1, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_replaced_by_a_new_journal() {
    let disk = MemoryDisk::new();
    let place = Place { dir: PathBuf::new(), engine: Engine::Memory(disk.clone()), _keep: None };
    let opened = place.open();
    write(&opened.journal, 1, 20).await;
    opened.journal.close().unwrap();
    disk.damage();
    let again = place.open_within(Limits::default()).unwrap();
    let aside = again.set_aside.unwrap();
    assert_eq!(aside.id, Some(opened.id));
    assert_ne!(again.id, opened.id);
    assert_eq!((again.records.len(), again.start), (0, 1));
    assert!(!aside.salvaged.is_empty() && aside.salvaged.len() < 20);
}
