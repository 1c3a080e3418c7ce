//! The instants at which something ends or begins: there, and a microsecond before and after, is where rules go wrong.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::dice::Dice;
use crate::engine::account::Account;
use crate::scenario::world::World;
use crate::types::Timestamp;

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// What lies further ahead is waited for in smaller steps.
const FAR: u64 = 100 * DAY;

/// When the next step is: soon, at an instant at which something ends or begins, or after a long silence.
pub fn next(world: &World, dice: &mut Dice) -> Timestamp {
    let after = |micros: u64| world.at.plus_micros(i64::try_from(micros).unwrap());
    match dice.roll(10) {
        0..=3 => after(dice.roll(3) * SECOND),
        4 => after(dice.roll(7200) * SECOND),
        5 if dice.one_in(2) => after(dice.roll(100) * DAY + dice.roll(DAY)),
        _ => {
            let mut kinds = to_come(world);
            for kind in &mut kinds {
                kind.retain(|instant| *instant > world.at && *instant <= after(FAR));
            }
            kinds.retain(|kind| !kind.is_empty());
            let kind = &kinds[dice.index(kinds.len())];
            let instant = kind[dice.index(kind.len())];
            instant.plus_micros(i64::try_from(dice.roll(3)).unwrap() - 1)
        }
    }
}

/// By kind, so that what there is much of does not hide the rest.
fn to_come(world: &World) -> Vec<Vec<Timestamp>> {
    let mut kinds = vec![
        world
            .playbooks
            .all()
            .filter_map(|playbook| world.playbooks.in_force_from(playbook.version))
            .collect(),
        world.nodes.values().flat_map(|node| node.wallets.values()).filter_map(|w| w.next_timer()).collect(),
        calendar(world),
    ];
    for account in world.accounts.values() {
        kinds.extend(of_account(account));
    }
    kinds
}

fn of_account(account: &Account) -> [Vec<Timestamp>; 8] {
    let blocks = || account.book.pools.iter().flat_map(|pool| &pool.blocks);
    [
        vec![account.period.end],
        account.term.iter().map(|term| term.end).chain(account.pending.ends).collect(),
        account.allowances.iter().chain(&account.chain).chain(&account.fees).copied().flatten().collect(),
        blocks().filter_map(|block| block.expires_at).collect(),
        blocks().map(|block| block.effective_at).collect(),
        account.book.deadlines.iter().map(|(at, _)| *at).collect(),
        account
            .leases
            .values()
            .map(|lease| lease.ends_at)
            .chain(account.seals.iter().map(|s| s.until))
            .collect(),
        account.book.counters.iter().filter_map(|(_, counter)| counter.ends_at).collect(),
    ]
}

/// The next change of the clocks, 29 February and month's end, where each account is.
fn calendar(world: &World) -> Vec<Timestamp> {
    let mut instants = Vec::new();
    for account in world.accounts.values() {
        let zone = TimeZone::get(&account.zone).unwrap();
        let today = world.at.jiff().to_zoned(zone.clone()).date();
        instants.extend(zone.following(world.at.jiff()).next().map(|change| change.timestamp()));
        let leap = (today.year()..).find_map(|year| date_of(year, 2, 29).filter(|day| *day > today));
        let month = today.last_of_month().saturating_add(1.day());
        let midnights = leap.into_iter().chain([month]);
        instants.extend(midnights.filter_map(|day| Some(day.to_zoned(zone.clone()).ok()?.timestamp())));
    }
    instants.into_iter().map(Timestamp::from).collect()
}

fn date_of(year: i16, month: i8, day: i8) -> Option<Date> {
    Date::new(year, month, day).ok()
}
