use std::path::Path;

use super::*;
use crate::engine::Fault;
use crate::engine::account::Command;
use crate::grpc::ledger_api::LedgerError;
use crate::lease::terms::HandleKey;
use crate::ledger::Embedded;
use crate::ledger::job::{Waits, job};
use crate::ledger::store::{LedgerStore, Turn};
use crate::playbook;
use crate::storage::{Engine, MemoryDisk};
use crate::types::Name;

const PLAYBOOK: &str = "{bursar: 1, playbook: p, version: 1, credit: {unit: output, price: 0.10, currency: USD}, \
    actions: {draft: {weight: 1}}, plans: {basic: {allowance: {credits: 100, every: month}}}}";

fn at() -> Timestamp {
    "2026-01-31T00:00:00Z".parse().unwrap()
}

fn subscribe(work: &mut Work<'_>) {
    let plan = Name::parse("basic").unwrap();
    let key = HandleKey { id: 1, secret: [3; 32] };
    work.administer(&Command::Subscribe { plan, zone: "UTC".to_owned(), key, overlay: Box::default() }, None)
        .unwrap();
}

fn open(disk: &MemoryDisk) -> Embedded {
    Embedded::open(Path::new("x"), Engine::Memory(disk.clone()), None).unwrap()
}

/// An account's entries as the store has them, and what they rest on.
async fn stored(disk: &MemoryDisk) -> (AccountId, Vec<Entry>, Playbooks) {
    let mut playbooks = Playbooks::default();
    playbooks.publish(playbook::load(PLAYBOOK).unwrap());
    let store = open(disk);
    let id = AccountId::parse("acme").unwrap();
    let entries = store.resident().await.unwrap().pop().map(|(_, entries)| entries).unwrap_or_default();
    store.close().await.unwrap();
    (id, entries, playbooks)
}

/// One turn, as a lane takes it.
async fn turn(store: &Embedded, slot: &Slot, playbooks: &Playbooks) {
    let mut jobs = Vec::new();
    let ran = slot.run(&mut jobs, playbooks, at(), false);
    if let Some(batch) = ran.batch {
        let turn = store.turn(&slot.id, false).await.unwrap();
        let ticket = turn.write(batch.clone()).await.unwrap();
        slot.with(|state| state.settled(&batch, ticket));
        store.durable(ticket).await.unwrap();
    }
    for InTurn { job, fault, .. } in jobs {
        job.end(match fault {
            Some(why) => Err(Fault::Broken(why.to_string()).into()),
            None => Ok(slot.with(|state| state.ticket)),
        });
    }
}

fn waits<T: Send + 'static>(slot: &Slot, act: impl FnMut(&mut Work<'_>) -> T + Send + 'static) -> Waits<T> {
    let (job, waits) = job(Part::Whole, false, act);
    slot.wait(job);
    waits
}

#[tokio::test]
async fn a_panic_breaks_the_account_and_a_replay_mends_it() {
    let disk = MemoryDisk::default();
    let (id, _, playbooks) = stored(&disk).await;
    let store = open(&disk);
    let slot = Slot::new(Account::new(id));
    // All in one turn: what came before the panic stands.
    let opened = waits(&slot, subscribe);
    let broken = waits(&slot, |work| {
        work.account.book.pools.clear();
        panic!("a rule was broken")
    });
    let after = waits(&slot, |_| ());
    turn(&store, &slot, &playbooks).await;
    opened.await.unwrap().unwrap();
    for refused in [broken.await.unwrap(), after.await.unwrap()] {
        match refused {
            Err(LedgerError::Fault(Fault::Broken(why))) => assert_eq!(why, "a rule was broken"),
            other => panic!("{other:?}"),
        }
    }
    store.close().await.unwrap();

    let (id, entries, playbooks) = stored(&disk).await;
    let slot = Slot::replayed(id, &entries, &playbooks);
    assert!(slot.with(|state| state.broken.is_none()));
    let available = slot.with(|state| state.account.balance(at(), &BTreeMap::new()).available);
    assert_eq!(available.to_string(), "100");
}

#[tokio::test]
async fn entries_that_do_not_follow_break_the_account() {
    let disk = MemoryDisk::default();
    let (id, _, playbooks) = stored(&disk).await;
    let store = open(&disk);
    let slot = Slot::new(Account::new(id));
    let opened = waits(&slot, subscribe);
    turn(&store, &slot, &playbooks).await;
    opened.await.unwrap().unwrap();
    store.close().await.unwrap();

    let (id, entries, playbooks) = stored(&disk).await;
    assert!(entries.len() > 1);
    let why = |entries: &[Entry]| {
        let slot = Slot::replayed(id.clone(), entries, &playbooks);
        slot.with(|state| state.broken.as_ref().map(ToString::to_string)).unwrap_or_default()
    };
    assert_eq!(why(&entries), "");
    assert!(why(&entries[1..]).contains("follows entry 0"));
    let mut altered = entries.clone();
    altered[0].at = altered[0].at.plus_micros(1);
    assert!(why(&altered).contains("hash link"));
}

#[test]
fn entries_that_may_not_be_stored_are_written_again_with_the_next() {
    let mut playbooks = Playbooks::default();
    playbooks.publish(playbook::load(PLAYBOOK).unwrap());
    let slot = Slot::new(Account::new(AccountId::parse("acme").unwrap()));
    let _opened = waits(&slot, subscribe);
    let mut jobs = Vec::new();
    let first = slot.run(&mut jobs, &playbooks, at(), true).batch.unwrap();
    assert!(jobs.iter().all(|job| job.ran == Some(0)));
    // Its answer was lost: the same again, and what came meanwhile.
    let _suspended = waits(&slot, |work| work.administer(&Command::Suspend, None).unwrap());
    let both = slot.run(&mut jobs, &playbooks, at(), true).batch.unwrap();
    assert_eq!((both.before, both.writes.len()), (first.before, 2));
    assert!(both.after.0 > first.after.0);
    slot.with(|state| state.settled(&both, Ticket(1)));
    assert!(slot.run(&mut Vec::new(), &playbooks, at(), true).batch.is_none());
}

#[test]
fn what_ran_on_memory_that_was_forgotten_runs_again() {
    let mut playbooks = Playbooks::default();
    playbooks.publish(playbook::load(PLAYBOOK).unwrap());
    let slot = Slot::new(Account::new(AccountId::parse("acme").unwrap()));
    let _opened = waits(&slot, subscribe);
    let mut jobs = Vec::new();
    let first = slot.run(&mut jobs, &playbooks, at(), true).batch.unwrap();
    slot.with(State::forget);
    let again = slot.run(&mut jobs, &playbooks, at(), true).batch.unwrap();
    assert_eq!((again.before, again.after), (first.before, first.after));
}
