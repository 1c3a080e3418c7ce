//! Opening the journal: wallets are made again from what it holds, and what the ledger has not acknowledged waits again.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;
use parking_lot::Mutex;
use thiserror::Error;

use super::core::{Core, Keeping, Link, Pulse};
use super::entry::{self, Attachment, Elsewhere, EntryError, Found, Kept, SnapshotPart};
use super::ids::Ids;
use super::metrics::Metrics;
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
    /// Where metrics are counted, if somebody reads them.
    pub metrics: Option<Arc<Metrics>>,
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

/// What the journal held besides the records of wallets.
#[derive(Default)]
struct Facts {
    playbooks: Playbooks,
    attached: Option<Attachment>,
    snapshots: BTreeMap<AccountId, Taken>,
    elsewhere: Vec<(u64, Elsewhere)>,
    from: Option<u64>,
}

/// Opens the journal. Blocks: every live record is read. `known`: the ledger's clock, where this process has learned it.
pub fn open<U: Upstream>(
    opening: &Opening,
    upstream: U,
    known: Option<Arc<LedgerClock>>,
) -> Result<Opened<U>, RecoverError> {
    let opened = storage::open(&opening.dir, opening.limits.clone(), opening.engine.clone())?;
    let mut facts = facts(&opened.records)?;
    let same_boot = facts
        .attached
        .as_ref()
        .filter(|attached| attached.boot.is_some() && attached.boot == opening.boot.map(BootId::bytes));
    let clock = match (known, same_boot) {
        (Some(clock), _) => clock,
        (None, Some(attached)) => Arc::new(LedgerClock::resumed(opening.clock.clone(), attached.offset)),
        (None, None) => Arc::new(LedgerClock::new(opening.clock.clone())),
    };
    let (slots, pending) = replay(&mut facts, &opened.records)?;
    let past = facts.attached.as_ref().map(Past::of).unwrap_or_default();
    let outbox = Outbox::new(opening.outbox_bytes_max, pending);
    let shards =
        Shards::new(opened.journal, outbox, facts.playbooks, clock, opened.start, opening.metrics.clone());
    for slot in slots.into_values() {
        restart(&shards, *slot, opened.clean);
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
        facts_from: Mutex::new(facts.from.unwrap_or(u64::MAX)),
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

fn facts(records: &[StoredRecord]) -> Result<Facts, RecoverError> {
    let mut facts = Facts::default();
    let mut parts: BTreeMap<AccountId, (u64, Vec<SnapshotPart>)> = BTreeMap::new();
    for stored in records.iter().filter(|stored| !entry::is_record(&stored.payload)) {
        let number = stored.number;
        let failed = |why| RecoverError::Entry { number, why };
        match entry::read(&stored.payload).map_err(failed)? {
            Found::Playbook(source) => {
                facts.from = facts.from.or(Some(number));
                match playbook::load(&source) {
                    Ok(playbook) => {
                        facts.playbooks.publish(playbook);
                    }
                    Err(_) => {
                        let what = "its playbook is not one of this build's language".to_owned();
                        return Err(failed(EntryError::Content(what)));
                    }
                }
            }
            Found::Attached(attached) => {
                facts.from = facts.from.or(Some(number));
                facts.attached = Some(attached);
            }
            Found::Elsewhere(elsewhere) => facts.elsewhere.push((number, elsewhere)),
            Found::Snapshot(part) => {
                if let Some((account, found)) = assembled(&mut parts, number, part).map_err(failed)? {
                    facts.snapshots.insert(account, found);
                }
            }
            // These were left for `replay`.
            Found::Record(_) => {}
        }
    }
    Ok(facts)
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

type Slots = BTreeMap<AccountId, Box<Slot>>;

/// What is made again of some of the accounts.
#[derive(Default)]
struct Share {
    slots: HashMap<AccountId, Box<Slot>, RandomState>,
    /// The record from which on each snapshot holds.
    covered: HashMap<AccountId, u64, RandomState>,
    pending: Vec<Pending>,
}

/// Makes the wallets again, and the outbox, on all cores: an account's records stay with one of them, in their order.
fn replay(facts: &mut Facts, records: &[StoredRecord]) -> Result<(Slots, VecDeque<Pending>), RecoverError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut shares: Vec<Share> = Vec::new();
    shares.resize_with(threads, Share::default);
    for (account, taken) in std::mem::take(&mut facts.snapshots) {
        if let Some(share) = shares.get_mut(share_of(account.as_str(), threads)) {
            share.begin(account, taken, &facts.playbooks);
        }
    }
    let playbooks = &facts.playbooks;
    let replayed: Vec<Result<Share, RecoverError>> = std::thread::scope(|scope| {
        let replaying = |(place, mut share): (usize, Share)| {
            scope.spawn(move || {
                let of = |stored: &&StoredRecord| {
                    entry::account(&stored.payload).is_some_and(|name| share_of(name, threads) == place)
                };
                records.iter().filter(of).try_for_each(|stored| share.take(stored, playbooks))?;
                Ok(share)
            })
        };
        let running: Vec<_> = shares.into_iter().enumerate().map(replaying).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let (mut slots, mut pending) = (Slots::new(), Vec::new());
    for share in replayed {
        let share = share?;
        slots.extend(share.slots);
        pending.extend(share.pending);
    }
    pending.sort_unstable_by_key(|pending| pending.number);
    for (number, Elsewhere { account, id, until }) in std::mem::take(&mut facts.elsewhere) {
        let slot = slots.entry(account.clone()).or_insert_with(|| Box::new(Slot::new(account)));
        slot.needed_from = Some(slot.needed_from.unwrap_or(number).min(number));
        slot.settles_elsewhere(id, until, Timestamp::default());
    }
    Ok((slots, pending.into()))
}

fn share_of(account: &str, shares: usize) -> usize {
    let hash = FixedState::default().hash_one(account);
    usize::try_from(hash >> 32).unwrap_or(0) % shares
}

/// A bug that shows here breaks one account, not the start.
impl Share {
    fn begin(&mut self, account: AccountId, (first, kept): Taken, playbooks: &Playbooks) {
        let slot = self.slot(&account);
        slot.needed_from = Some(first);
        for (id, until) in kept.elsewhere {
            slot.settles_elsewhere(id, until, Timestamp::default());
        }
        let event = WalletEvent::Snapshot(Box::new(kept.wallet));
        guarded(slot, |wallet| wallet.apply(event, playbooks));
        self.covered.insert(account, first);
    }

    /// Takes one record in, and lets it go: all of them at once take several times what the wallets do.
    fn take(&mut self, stored: &StoredRecord, playbooks: &Playbooks) -> Result<(), RecoverError> {
        let number = stored.number;
        let failed = |why| RecoverError::Entry { number, why };
        let SidecarRecord { account, event } = entry::record(&stored.payload).map_err(failed)?;
        if event.is_reported() {
            self.pending.push(Pending {
                number,
                start: stored.start,
                account: account.clone(),
                body: entry::body(&stored.payload),
                promotes: matches!(event, WalletEvent::Promoted(_)),
            });
        }
        let covered = self.covered.get(&account).is_some_and(|first| number < *first);
        let slot = self.slot(&account);
        guarded(slot, |wallet| wallet.resume_handing(number, &event));
        if !covered {
            slot.needed_from = slot.needed_from.or(Some(number));
            guarded(slot, |wallet| wallet.apply(event, playbooks));
        }
        Ok(())
    }

    fn slot(&mut self, account: &AccountId) -> &mut Slot {
        self.slots.entry_ref(account).or_insert_with(|| Box::new(Slot::new(account.clone())))
    }
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
