//! Operations whose order must not matter: on different accounts, and the ends of different runs.

use std::collections::BTreeMap;

use super::dice::{Dice, seeds};
use super::long_histories::{begin, go_on};
use super::play::{Play, SIDECARS, carry_out};
use crate::engine::account::Account;
use crate::scenario::world::World;
use crate::types::{AccountId, ReservationId};

/// How often each history is halted for a pair of operations, and after how many steps.
const PAIRS: usize = 6;
const STEPS: usize = 8;

/// What is asked at which sidecar.
type Asked = (&'static str, String);

/// What concerns more than one account.
const SHARED: [&str; 2] = ["transfer", "publish"];

/// What both orders must agree on: the answers and every account, once sidecars have given back what is idle. The numbers of
/// records and of asks for leases are not an account's own, they count a sidecar's messages; and of numbers of entries, and
/// of alerts that are raised at one instant, only the order counts, or not even that.
fn outcome(mut world: World, asked: [&Asked; 2]) -> (BTreeMap<String, String>, BTreeMap<AccountId, Account>) {
    let replies = asked.map(|(sidecar, text)| {
        let done = carry_out(&mut world, sidecar, text);
        (text.clone(), format!("{done:?}"))
    });
    for account in world.accounts.keys().cloned().collect::<Vec<_>>() {
        world.recall_all(&account);
    }
    world.deliver();
    for account in world.accounts.values_mut() {
        account.sidecars.clear();
        (account.number, account.link) = (0, [0; 32]);
        account.alerts.sort();
        let mut arrivals: Vec<(u64, ReservationId)> =
            account.arrivals.iter().map(|(run, at)| (*at, *run)).collect();
        arrivals.sort_unstable();
        account.arrivals = (0..).zip(arrivals).map(|(place, (_, run))| (run, place)).collect();
    }
    (replies.into(), world.accounts)
}

fn assert_commute(play: &Play, [one, other]: [&Asked; 2]) {
    let there = outcome(play.world.clone(), [one, other]);
    let back = outcome(play.world.clone(), [other, one]);
    let said = format!("seed {}, {}: {one:?} and {other:?}", play.seed, play.world.at);
    assert_eq!(there.0, back.0, "{said}");
    for (account, state) in &there.1 {
        let differs: Vec<(String, String)> = differences(state, &back.1[account]);
        assert!(differs.is_empty(), "{said}, account {account}: {differs:#?}");
    }
}

/// The lines in which two accounts differ.
fn differences(one: &Account, other: &Account) -> Vec<(String, String)> {
    if one == other {
        return Vec::new();
    }
    let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
    let lines = one.lines().zip(other.lines()).filter(|(one, other)| one != other);
    lines.take(20).map(|(one, other)| (one.to_owned(), other.to_owned())).collect()
}

/// An operation on this account alone. What it begins has an id that does not depend on what came before.
fn on_account(play: &mut Play, account: &'static str) -> Asked {
    let sidecar = play.dice.pick(&SIDECARS);
    let text = loop {
        let text = play.operation(sidecar, account);
        if !SHARED.iter().any(|shared| text.starts_with(shared)) {
            break text;
        }
    };
    let begins = ["authorize: {as: ", "record: {as: "].into_iter().find(|begins| text.starts_with(begins));
    match begins.filter(|_| !text.contains("request_id")) {
        None => (sidecar, text),
        Some(begins) => (
            sidecar,
            text.replacen(begins, &begins.replace("as", &format!("request_id: q-{account}, as")), 1),
        ),
    }
}

#[test]
fn operations_on_different_accounts_commute() {
    for seed in seeds(8) {
        let mut play = begin(seed);
        for _ in 0..PAIRS {
            go_on(&mut play, STEPS);
            let (one, other) = (on_account(&mut play, "a"), on_account(&mut play, "b"));
            assert_commute(&play, [&one, &other]);
        }
    }
}

/// Open runs that steps named, of an account that owes nothing: what comes back to one that owes is taken by the debt,
/// whichever comes first. None has to do with another: no child, no retry.
fn open_runs(play: &Play) -> Vec<(String, AccountId, ReservationId)> {
    let owes = |account: &AccountId| {
        play.world.accounts[account].book.pools.iter().any(|pool| pool.debt.is_positive())
    };
    let named = play.world.runs.iter().filter(|(_, run)| run.handle.is_some() && !owes(&run.account));
    let open = named.filter(|(_, known)| {
        let here = play.world.nodes.values().filter_map(|node| node.wallets.get(&known.account));
        let mut books = here.map(|wallet| &wallet.book).chain([&play.world.accounts[&known.account].book]);
        books.any(|book| {
            let alone = |run: &crate::credit::Reservation| run.root == run.id && run.chain.is_none();
            book.runs.get(&known.id).is_some_and(|run| alone(run)) && !book.families.contains_key(&known.id)
        })
    });
    open.map(|(name, known)| (name.clone(), known.account.clone(), known.id)).collect()
}

fn end(dice: &mut Dice, run: &str) -> Asked {
    let end = match dice.roll(3) {
        0 => format!("commit: {{run: {run}}}"),
        _ => format!("release: {{run: {run}}}"),
    };
    (dice.pick(&SIDECARS), end)
}

#[test]
fn ends_of_different_runs_commute() {
    for seed in seeds(8) {
        let mut play = begin(seed);
        for _ in 0..PAIRS {
            go_on(&mut play, STEPS);
            let open = open_runs(&play);
            for (index, one) in open.iter().enumerate() {
                for other in open[index + 1..].iter().filter(|other| other.1 == one.1 && other.2 != one.2) {
                    let ends = [end(&mut play.dice, &one.0), end(&mut play.dice, &other.0)];
                    assert_commute(&play, [&ends[0], &ends[1]]);
                }
            }
        }
    }
}
