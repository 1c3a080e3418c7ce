//! Any playbook, over years: steps at the very instants at which something ends or begins, and long silences.

use super::dice::{Dice, seeds};
use super::play::Play;
use super::{instants, playbooks, steps};
use crate::types::Timestamp;

const STEPS: usize = 120;

/// In microseconds.
const YEAR: i64 = 366 * 86_400_000_000;

/// A month's last days, a leap day, a day without 02:30 in Europe, a new year.
const STARTS: [&str; 6] = [
    "2026-01-31T00:00:00Z",
    "2027-12-31T23:30:00Z",
    "2028-02-29T12:00:00Z",
    "2026-03-29T01:30:00Z",
    "2026-10-31T00:00:00Z",
    "2027-05-15T09:41:07.123456Z",
];

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

/// A world with a playbook by chance, whose accounts have subscribed by chance.
pub fn begin(seed: u64) -> Play {
    let mut dice = Dice::new(seed);
    let playbook = playbooks::playbook(&mut dice, 1, None);
    let start: Timestamp = dice.pick(&STARTS).parse().unwrap();
    let mut play = Play::new(seed, dice, start, &playbook);
    play.plans = &playbooks::PLANS;
    play.publishes = true;
    for account in ACCOUNTS {
        let text = steps::subscribe(&mut play.dice, account, play.plans);
        play.carry_out("s1", &text);
        play.accounts.push(account);
    }
    play
}

/// So many steps go by.
pub fn go_on(play: &mut Play, steps: usize) {
    for _ in 0..steps {
        let at = instants::next(&play.world, &mut play.dice);
        play.step(at);
    }
}

fn run(seed: u64) {
    let mut play = begin(seed);
    let start = play.world.at;
    go_on(&mut play, STEPS);
    play.settle_down(play.world.at.max(start.plus_micros(2 * YEAR)).plus_micros(YEAR));
}

#[test]
fn books_balance_over_years() {
    seeds(5).for_each(run);
}
