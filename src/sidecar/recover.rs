//! Opening the journal: wallets are made again from what it holds, and what the ledger has not acknowledged waits again.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use thiserror::Error;

use super::core::{Core, Keeping, Link, Pulse};
use super::entry::{self, Attachment, Elsewhere, EntryError, Found, Kept, SnapshotPart};
use super::ids::Ids;
use super::outbox::{Outbox, Pending};
use super::past::Past;
use super::recalls::Recalls;
use super::salvage::Salvage;
use super::shard::Shards;
use super::slot::Slot;
use super::upstream::Upstream;
use crate::engine::contract::Playbooks;
use crate::engine::wallet::Wallet;
use crate::lease::{Acting, SidecarRecord, WalletEvent};
use crate::playbook;
use crate::runtime::{BootId, Clock, LedgerClock};
use crate::storage::{self, Engine, Limits, OpenError, StoredRecord};
use crate::types::{AccountId, SidecarId, Timestamp};

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    pub dir: PathBuf,
    pub engine: Engine,
    pub limits: Limits,
    pub outbox_bytes_max: u64,
    pub keeping: Keeping,
    pub acting: Acting,
    pub clock: Clock,
    /// Which boot this is, where the machine tells.
    pub boot: Option<BootId>,
}

/// A journal that was opened.
#[derive(Debug)]
pub struct Opened<U> {
    pub core: Arc<Core<U>>,
    /// What a damaged journal still held.
    pub salvage: Option<Salvage>,
}

#[derive(Debug, Error)]
pub enum RecoverError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(
        "record {number} of the journal is whole, but {why}: it was written by another version of bursar; start that one"
    )]
    Entry { number: u64, why: EntryError },
    #[error("the machine has no randomness to give: {0}")]
    Random(#[from] getrandom::Error),
}

/// A snapshot, and the number of its first record.
type Taken = (u64, Kept);

/// What the journal held, read but not yet applied.
#[derive(Default)]
struct Read {
    playbooks: Playbooks,
    attached: Option<Attachment>,
    records: Vec<(u64, SidecarRecord)>,
    snapshots: BTreeMap<AccountId, Taken>,
    elsewhere: Vec<(u64, Elsewhere)>,
    pending: VecDeque<Pending>,
    facts_from: Option<u64>,
}

/// Opens the journal. Blocks: every live record is read. `known`: the ledger's clock, where this process has learned it.
pub fn open<U: Upstream>(
    opening: &Opening,
    upstream: U,
    known: Option<Arc<LedgerClock>>,
) -> Result<Opened<U>, RecoverError> {
    let opened = storage::open(&opening.dir, opening.limits, opening.engine.clone())?;
    let mut read = read(&opened.records)?;
    let same_boot = read
        .attached
        .as_ref()
        .filter(|attached| attached.boot.is_some() && attached.boot == opening.boot.map(BootId::bytes));
    let clock = match (known, same_boot) {
        (Some(clock), _) => clock,
        (None, Some(attached)) => Arc::new(LedgerClock::resumed(opening.clock.clone(), attached.offset)),
        (None, None) => Arc::new(LedgerClock::new(opening.clock.clone())),
    };
    let slots = replay(&mut read);
    let past = read.attached.as_ref().map(Past::of).unwrap_or_default();
    let Read { playbooks, pending, facts_from, .. } = read;
    let outbox = Outbox::new(opening.outbox_bytes_max, pending);
    let shards = Shards::new(opened.journal, outbox, playbooks, clock, opened.start);
    for slot in slots {
        restart(&shards, slot, opened.clean);
    }
    let core = Core {
        id: SidecarId(opened.id),
        shards,
        link: Link::default(),
        upstream,
        ids: Ids::new()?,
        asks: AtomicU64::new(1),
        boot: opening.boot,
        keeping: opening.keeping,
        acting: opening.acting.clone(),
        past: Mutex::new(past),
        recounting: Mutex::default(),
        facts_from: Mutex::new(facts_from.unwrap_or(u64::MAX)),
        published: tokio::sync::Notify::new(),
        recalls: Recalls::default(),
        pulse: Pulse::default(),
    };
    let salvage = opened.set_aside.and_then(Salvage::of);
    tracing::info!(
        sidecar = %core.id,
        start = opened.start,
        clean = opened.clean,
        accounts = core.shards.count(),
        "the journal is open"
    );
    Ok(Opened { core: Arc::new(core), salvage })
}

fn read(records: &[StoredRecord]) -> Result<Read, RecoverError> {
    let mut read = Read::default();
    let mut parts: BTreeMap<AccountId, (u64, Vec<SnapshotPart>)> = BTreeMap::new();
    for stored in records {
        let number = stored.number;
        let failed = |why| RecoverError::Entry { number, why };
        match entry::read(&stored.payload).map_err(failed)? {
            Found::Playbook(source) => {
                read.facts_from = read.facts_from.or(Some(number));
                match playbook::load(&source) {
                    Ok(playbook) => {
                        read.playbooks.publish(playbook);
                    }
                    Err(_) => {
                        let what = "its playbook is not one of this build's language".to_owned();
                        return Err(failed(EntryError::Content(what)));
                    }
                }
            }
            Found::Attached(attached) => {
                read.facts_from = read.facts_from.or(Some(number));
                read.attached = Some(attached);
            }
            Found::Record(record) => {
                if record.event.is_reported() {
                    read.pending.push_back(Pending {
                        number,
                        start: stored.start,
                        account: record.account.clone(),
                        body: entry::body(&stored.payload),
                        promotes: matches!(record.event, WalletEvent::Promoted(_)),
                    });
                }
                read.records.push((number, record));
            }
            Found::Elsewhere(elsewhere) => read.elsewhere.push((number, elsewhere)),
            Found::Snapshot(part) => {
                if let Some((account, found)) = assembled(&mut parts, number, part).map_err(failed)? {
                    read.snapshots.insert(account, found);
                }
            }
        }
    }
    Ok(read)
}

/// A snapshot, once its last part is there. Parts without the rest were cut off by a crash, and mean nothing.
fn assembled(
    parts: &mut BTreeMap<AccountId, (u64, Vec<SnapshotPart>)>,
    number: u64,
    part: SnapshotPart,
) -> Result<Option<(AccountId, Taken)>, EntryError> {
    let account = part.account.clone();
    if part.part == 0 {
        parts.insert(account.clone(), (number, Vec::new()));
    }
    let Some((_, so_far)) = parts.get_mut(&account) else { return Ok(None) };
    if so_far.len() != part.part as usize {
        parts.remove(&account);
        return Ok(None);
    }
    let whole = part.part + 1 == part.parts;
    so_far.push(part);
    if !whole {
        return Ok(None);
    }
    let Some((first, all)) = parts.remove(&account) else { return Ok(None) };
    let bytes: Vec<u8> = all.into_iter().flat_map(|part| part.bytes).collect();
    let kept = minicbor::decode(&bytes).map_err(|error| EntryError::Content(error.to_string()))?;
    Ok(Some((account, (first, kept))))
}

/// Makes the wallets again. A bug that shows here breaks one account, not the start.
fn replay(read: &mut Read) -> Vec<Slot> {
    let Read { playbooks, records, snapshots, elsewhere, .. } = read;
    let mut slots: BTreeMap<AccountId, Slot> = BTreeMap::new();
    let mut covered = BTreeMap::new();
    for (account, (first, kept)) in std::mem::take(snapshots) {
        let slot = slots.entry(account.clone()).or_insert_with(|| Slot::new(account.clone()));
        slot.needed_from = Some(first);
        for (id, until) in kept.elsewhere {
            slot.settles_elsewhere(id, until, Timestamp::default());
        }
        let event = WalletEvent::Snapshot(Box::new(kept.wallet));
        guarded(slot, |wallet| wallet.apply(event, playbooks));
        covered.insert(account, first);
    }
    for (number, SidecarRecord { account, event }) in std::mem::take(records) {
        let covered = covered.get(&account).is_some_and(|first| number < *first);
        let slot = slots.entry(account.clone()).or_insert_with(|| Slot::new(account));
        guarded(slot, |wallet| wallet.resume_handing(number, &event));
        if !covered {
            slot.needed_from = slot.needed_from.or(Some(number));
            guarded(slot, |wallet| wallet.apply(event, playbooks));
        }
    }
    for (number, Elsewhere { account, id, until }) in std::mem::take(elsewhere) {
        let slot = slots.entry(account.clone()).or_insert_with(|| Slot::new(account));
        slot.needed_from = Some(slot.needed_from.unwrap_or(number).min(number));
        slot.settles_elsewhere(id, until, Timestamp::default());
    }
    slots.into_values().collect()
}

fn guarded(slot: &mut Slot, apply: impl FnOnce(&mut Wallet)) {
    if slot.broken.is_some() {
        return;
    }
    let wallet = &mut slot.wallet;
    if catch_unwind(AssertUnwindSafe(|| apply(wallet))).is_err() {
        let account = &slot.wallet.account;
        tracing::error!(%account, "a bug broke this account while its journal was read; its calls are refused");
        slot.broken = Some("its journal could not be replayed".into());
    }
}

/// What is done to each wallet after a stop: the mark is sealed where the stop was unclean, and a lease that did not
/// outlive it goes back.
fn restart(shards: &Shards, slot: Slot, clean: bool) {
    let account = slot.wallet.account.clone();
    let broken = slot.broken.is_some();
    shards.put(slot);
    if broken {
        return;
    }
    let learned = shards.clock.is_learned();
    let restarted = shards.visit(&account, |desk| {
        let sealed = desk.slot.wallet.restarted(clean, learned, desk.here, desk.tape);
        desk.slot.barrier = sealed.unwrap_or_default();
    });
    if let Some(Err(why)) = restarted {
        tracing::error!(%account, %why, "an account could not be started again");
    }
}
