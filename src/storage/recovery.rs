//! Opening the journal after any stop: load, check, and if it is damaged, set it aside and start a new one.
//!
//! sled can panic, hang or silently lose a suffix on damaged files, so it is opened on a thread of its own, with a
//! deadline, and nothing that it returns is believed before the chain is checked.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::chain::{self, LiveBatch, Walk};
use super::committer::panic_message;
use super::durable;
use super::generation::{Room, SetAside, sync_dir, sync_tree};
use super::head::HeadFile;
use super::journal::OpenError;
use super::sled_store::{self, Chunks, Key, Parts, SledStore};
use super::store::{Finding, Head, Limits, LocalStore, StoreError, StoredRecord};

const HEAD: &str = "head";
const STORE: &str = "store";

/// Files that take more than this many times their live records are rewritten at opening: sled's file seldom shrinks by
/// itself, and takes twice to three times what it holds even then.
const DISK_PER_LIVE_MAX: u64 = 6;

/// How often, and how far apart, sled's own lock is tried: in this process a failed journal's threads may hold it a
/// moment longer. Other journals were kept out by the lock of the directory before.
const SLED_LOCK_TRIES: u32 = 50;
const SLED_LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What an engine found when it was opened.
pub(super) struct Found {
    pub store: Box<dyn LocalStore>,
    /// Whether the process before stopped cleanly.
    pub clean: bool,
    pub set_aside: Option<SetAside>,
}

/// A generation that is sound.
pub(super) struct Loaded {
    pub db: sled::Db,
    pub head: HeadFile,
    pub keys: Vec<Key>,
    pub walk: Walk,
}

/// A generation that is not, and what of it is.
pub(super) struct Damage {
    pub why: Finding,
    pub id: Option<[u8; 16]>,
    pub salvaged: Vec<StoredRecord>,
}

impl From<Finding> for Damage {
    fn from(why: Finding) -> Self {
        Self { why, id: None, salvaged: Vec::new() }
    }
}

/// Opens the journal in `dir`, made if need be.
pub(super) fn open(dir: &Path, limits: &Limits) -> Result<Found, OpenError> {
    let room = Room::enter(dir)?;
    let number = match room.current()? {
        Some(number) => number,
        None => fresh(&room, 1, limits)?,
    };
    let (taken, set_aside) = match take_into_use(&room, number, limits)? {
        Ok(taken) => (taken, None),
        Err(Damage { why, id, salvaged }) => {
            let path = room.set_aside(number, &why)?;
            let number = fresh(&room, number + 1, limits)?;
            let taken = sound(take_into_use(&room, number, limits)?, &room.generation(number))?;
            (taken, Some(SetAside { path, why, id, salvaged }))
        }
    };
    let (mut store, clean) = taken;
    store.keep(room.lock);
    Ok(Found { store: Box::new(store), clean, set_aside })
}

/// Loads a generation, rewrites it if it is bloated, and begins a new start in it. Says also whether the last one stopped
/// cleanly.
fn take_into_use(
    room: &Room,
    mut number: u64,
    limits: &Limits,
) -> Result<Result<(SledStore, bool), Damage>, OpenError> {
    let mut loaded = match load(&room.generation(number), limits.open_within)? {
        Ok(loaded) => loaded,
        Err(damage) => return Ok(Err(damage)),
    };
    let clean = loaded.walk.head.clean;
    if is_oversized(&room.generation(number), &loaded.walk.live, limits)? {
        number = rewrite(room, number + 1, loaded, limits)?;
        loaded = sound(load(&room.generation(number), limits.open_within)?, &room.generation(number))?;
        room.current()?;
    }
    let id = loaded.walk.head.id;
    match start(&room.generation(number), loaded, limits) {
        Ok(store) => Ok(Ok((store, clean))),
        Err(StoreError::Corrupt(why)) => Ok(Err(Damage { id: Some(id), ..why.into() })),
        Err(error) => Err(OpenError::store("start", room.generation(number))(error)),
    }
}

fn start(generation: &Path, loaded: Loaded, limits: &Limits) -> Result<SledStore, StoreError> {
    let Loaded { db, head: file, keys, walk: Walk { head, records, live, .. } } = loaded;
    let head = Head { start: head.start + 1, clean: false, ..head };
    let parts = Parts { db, head: file, dir: generation.join(STORE), records, live, keys };
    let before = durable::syncs();
    let started = contained(limits.open_within, move || Ok(SledStore::start(parts, head)));
    let store = started.unwrap_or_else(|mishap| match mishap {
        Mishap::Disk(error) => Err(error.into()),
        Mishap::Damage(why) => Err(StoreError::Corrupt(why)),
    })?;
    // The start wrote and flushed; if that did not come through our replacement, no acknowledgement would be true.
    if durable::REPLACES_SYNC && durable::syncs() == before {
        return Err(StoreError::NotDurable);
    }
    Ok(store)
}

/// Builds an empty generation with an id of its own.
fn fresh(room: &Room, number: u64, limits: &Limits) -> Result<u64, OpenError> {
    let head = first_head(&room.generation(number))?;
    room.build(number, |dir| fill(dir, head, limits, |_| Ok(())))?;
    Ok(number)
}

/// The head of a journal that has just been made, with an id of its own.
pub(super) fn first_head(path: &Path) -> Result<Head, OpenError> {
    let mut id = [0; 16];
    let drawn = getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()));
    drawn.map_err(OpenError::io("draw an id for", path))?;
    Ok(Head::new(id))
}

/// Copies what is live into a new generation. It takes the old one's place only after it was read back and found whole.
fn rewrite(room: &Room, number: u64, loaded: Loaded, limits: &Limits) -> Result<u64, OpenError> {
    let Loaded { db, walk: Walk { head, live, .. }, .. } = loaded;
    room.build(number, |dir| {
        fill(dir, head, limits, move |to| sled_store::copy_live(&db, to, &live))?;
        sound(load(dir, limits.open_within)?, dir)?.dismiss();
        Ok(())
    })?;
    Ok(number)
}

/// Writes the files of a generation into an empty directory.
fn fill(
    dir: &Path,
    head: Head,
    limits: &Limits,
    content: impl FnOnce(&sled::Db) -> Result<(), sled::Error> + Send + 'static,
) -> Result<(), OpenError> {
    HeadFile::create(&dir.join(HEAD), head).map_err(OpenError::io("write", dir.join(HEAD)))?;
    let store = dir.join(STORE);
    let built = contained(limits.open_within, move || {
        let db = sled_store::open_engine(&store)?;
        content(&db)?;
        db.flush()?;
        Ok(())
    });
    built.map_err(|mishap| match mishap {
        Mishap::Disk(error) => OpenError::io("build", dir)(error),
        Mishap::Damage(why) => OpenError::Fresh { path: dir.to_owned(), why },
    })
}

/// Just built: damage here is no damage but a disk or a build that does not work.
fn sound<T>(loaded: Result<T, Damage>, path: &Path) -> Result<T, OpenError> {
    loaded.map_err(|damage| OpenError::Fresh { path: path.to_owned(), why: damage.why })
}

fn is_oversized(generation: &Path, live: &[LiveBatch], limits: &Limits) -> Result<bool, OpenError> {
    let disk = sled_store::bytes_below(generation).map_err(OpenError::io("measure", generation))?;
    let live: u64 = live.iter().map(|batch| batch.bytes).sum();
    Ok(disk > limits.disk_bytes_floor.max(live.saturating_mul(DISK_PER_LIVE_MAX)))
}

/// Loads a generation and checks it. The outer error is the disk's or another process's; the inner one is damage.
pub(super) fn load(generation: &Path, within: Duration) -> Result<Result<Loaded, Damage>, OpenError> {
    let path = generation.join(HEAD);
    let head = match HeadFile::open(&path).map_err(OpenError::io("read", &path))? {
        Ok(head) => head,
        Err(why) => return Ok(Err(why.into())),
    };
    let id = head.head().id;
    let store = generation.join(STORE);
    let mut read = read_engine(&store, within);
    // A snapshot only saves time: where one is damaged or stale, the log alone still holds everything, and the chain
    // says whether it does.
    if matches!(&read, Err(Mishap::Damage(why)) if !matches!(why, Finding::TooSlow(_)))
        && remove_snapshots(&store, false).map_err(OpenError::io("clear", &store))? > 0
    {
        read = read_engine(&store, within);
    }
    let (db, (keys, batches)) = match read {
        Ok(read) => read,
        Err(Mishap::Damage(why)) => return Ok(Err(Damage { id: Some(id), ..why.into() })),
        Err(Mishap::Disk(error)) if speaks_of_lock(&error.to_string()) => {
            return Err(OpenError::Locked { dir: store });
        }
        Err(Mishap::Disk(error)) => return Err(OpenError::io("open", &store)(error)),
    };
    let mut walk = chain::walk(*head.head(), batches);
    match walk.damage.take() {
        None => Ok(Ok(Loaded { db, head, keys, walk })),
        Some(why) => {
            dismiss(db);
            Ok(Err(Damage { why, id: Some(id), salvaged: walk.records }))
        }
    }
}

impl Loaded {
    /// Closes the engine.
    pub(super) fn dismiss(self) -> Walk {
        dismiss(self.db);
        self.walk
    }
}

/// sled syncs as it goes, and panics where it can't.
fn dismiss(db: sled::Db) {
    // Whatever it says, this handle is not used again, and nothing hangs on that last sync.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
}

fn read_engine(store: &Path, within: Duration) -> Result<(sled::Db, Chunks), Mishap> {
    prepare(store).map_err(Mishap::Disk)?;
    let path = store.to_owned();
    let (db, loaded) = contained(within, move || {
        let db = open_patiently(&path)?;
        let loaded = sled_store::load(&db)?;
        Ok((db, loaded))
    })?;
    let chunks = loaded.map_err(Mishap::Damage)?;
    // sled does not sync the name of the snapshot that it has just written.
    sync_dir(store).map_err(Mishap::Disk)?;
    Ok((db, chunks))
}

/// Before sled sees its files: a half-written snapshot makes it refuse them, and a log that is not yet on disk could
/// fall behind the snapshot that sled writes from it and syncs.
fn prepare(store: &Path) -> io::Result<()> {
    if store.exists() {
        remove_snapshots(store, true)?;
        sync_tree(store)?;
    }
    Ok(())
}

/// Deletes sled's snapshots, or only the unfinished ones, and says how many.
fn remove_snapshots(store: &Path, unfinished_only: bool) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("snap.") && (!unfinished_only || name.ends_with(".generating")) {
            fs::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn open_patiently(path: &Path) -> Result<sled::Db, sled::Error> {
    for _ in 0..SLED_LOCK_TRIES {
        match sled_store::open_engine(path) {
            Err(error) if speaks_of_lock(&error.to_string()) => thread::sleep(SLED_LOCK_PAUSE),
            opened => return opened,
        }
    }
    sled_store::open_engine(path)
}

/// sled reports its lock as an error without a kind of its own.
fn speaks_of_lock(message: &str) -> bool {
    message.contains("could not acquire lock")
}

/// Why the engine did not open.
#[derive(Debug)]
enum Mishap {
    /// The files are wrong.
    Damage(Finding),
    /// The disk, its rights or its space are; the files may be fine.
    Disk(io::Error),
}

impl From<sled::Error> for Mishap {
    fn from(error: sled::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
        match error {
            sled::Error::Io(error)
                if matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof) =>
            {
                Self::Damage(Finding::Engine(error.to_string()))
            }
            sled::Error::Io(error) => Self::Disk(error),
            other => Self::Damage(Finding::Engine(other.to_string())),
        }
    }
}

/// Runs `work` on a thread of its own, so that neither its panic nor its hanging is ours. A thread that hangs is left
/// behind, with files that have been moved out of everybody's way.
fn contained<T: Send + 'static>(
    within: Duration,
    work: impl FnOnce() -> Result<T, sled::Error> + Send + 'static,
) -> Result<T, Mishap> {
    let (answer, answered) = mpsc::sync_channel(1);
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(&*panic));
        // Nobody listens after the deadline.
        let _ = answer.send(result);
    };
    thread::Builder::new().name("journal-open".to_owned()).spawn(run).map_err(Mishap::Disk)?;
    match answered.recv_timeout(within) {
        Ok(Ok(result)) => result.map_err(Mishap::from),
        Ok(Err(message)) if speaks_of_disk(&message) => Err(Mishap::Disk(io::Error::other(message))),
        Ok(Err(message)) => Err(Mishap::Damage(Finding::Panic(message))),
        Err(_) => Err(Mishap::Damage(Finding::TooSlow(within))),
    }
}

/// Whether a panic's message blames what is no damage: sled unwraps some of its disk errors.
fn speaks_of_disk(message: &str) -> bool {
    const WORDS: [&str; 7] = [
        "StorageFull",
        "QuotaExceeded",
        "PermissionDenied",
        "ReadOnlyFilesystem",
        "No space left",
        "Too many open files",
        "Input/output error",
    ];
    WORDS.iter().any(|words| message.contains(words))
}

impl OpenError {
    /// Says what was being done to which path.
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { what, path, source },
        }
    }

    /// The same for a store's error.
    pub(super) fn store(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(StoreError) -> Self {
        let path = path.into();
        move |error| match error {
            StoreError::Io(source) => Self::io(what, path)(source),
            StoreError::Full => Self::Full { path },
            StoreError::Corrupt(why) => Self::Fresh { path, why },
            StoreError::NotDurable => Self::NotDurable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(20);

    #[test]
    fn a_panic_is_damage_unless_it_blames_the_disk() {
        let panicked = contained::<()>(WITHIN, || panic!("tried to serialize Uninitialized"));
        let Err(Mishap::Damage(why)) = panicked else { panic!("{panicked:?}") };
        assert_eq!(why, Finding::Panic("tried to serialize Uninitialized".to_owned()));
        let full = contained::<()>(WITHIN, || panic!("Os {{ code: 28, kind: StorageFull }}"));
        assert!(matches!(full, Err(Mishap::Disk(_))), "{full:?}");
    }

    #[test]
    fn an_engine_that_hangs_is_left_behind() {
        let (release, held) = mpsc::channel::<()>();
        let slow = contained(Duration::from_millis(10), move || Ok(held.recv().is_ok()));
        assert!(matches!(slow, Err(Mishap::Damage(Finding::TooSlow(_)))), "{slow:?}");
        drop(release);
    }

    #[test]
    fn errors_of_the_disk_are_no_damage() {
        use io::ErrorKind::{NotFound, PermissionDenied, StorageFull, UnexpectedEof};
        for (kind, damage) in
            [(UnexpectedEof, true), (NotFound, true), (StorageFull, false), (PermissionDenied, false)]
        {
            let mishap = Mishap::from(sled::Error::Io(kind.into()));
            assert_eq!(matches!(mishap, Mishap::Damage(_)), damage, "{kind}");
        }
        let eio = Mishap::from(sled::Error::Io(io::Error::from_raw_os_error(libc::EIO)));
        assert!(
            matches!(eio, Mishap::Disk(_)),
            "an unreadable disk may be read again after it was plugged in again"
        );
        let conf = Mishap::from(sled::Error::Unsupported("another segment size".to_owned()));
        assert!(matches!(conf, Mishap::Damage(Finding::Engine(_))));
    }
}
