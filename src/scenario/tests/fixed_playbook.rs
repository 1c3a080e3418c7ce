//! One playbook with many plans, in hours full of faults: sidecars crash, are cut off and lose their disks.

use super::dice::{Dice, seeds};
use super::play::Play;
use crate::types::Timestamp;

const PLAYBOOK: &str = "
bursar: 1
playbook: random
version: 1
credit: {unit: output, scale: 1, price: 0.10, currency: USD}
actions:
  draft: {weight: 1, retries: {within: 10m, free: 2}, failure: 20%, reserve: {ttl: 2m, longest: 20m}}
  ping: {weight: 0.5, trigger: event}
  lead: {weight: 3, trigger: outcome, lapse: 50%, reserve: {ttl: 3m, outcome_ttl: 30m}}
  basic: {weight: 1, basic: true}
  tokens: {weight: {in: 0.25, out: 0.5}}
plans:
  small:
    allowance: [{credits: 60, every: day}, {credits: 7, every: 6h}]
    overage: [{soft: {up_to: 20}}, {degraded: {credits: 5, every: hour}}]
    caps:
      - {name: user, per: user, limit: 30, every: hour}
      - {name: run, per: run, limit: 25}
      - {name: parallel, per: account, concurrent: 6}
      - {name: count, per: action, match: ping, runs: 9, every: hour}
      - {name: soft, per: team, limit: 10, every: day, soft: true}
    alerts: [{name: low, balance_below: 20%}, {name: near, cap: user, reaches: 80%}]
    offline: {mode: deny, lease: 60s, reclaim_after: 5m}
  large: {allowance: {credits: 100000, every: month}}
  cautious:
    allowance: {credits: 40, every: day}
    caps: [{name: hourly, per: account, limit: 25, every: hour}, {name: two, per: user, concurrent: 2}]
    offline: {mode: emergency, emergency: {credits: 9, every: 10m}, for: 40m, lease: 60s, reclaim_after: 5m}
  easy: {allowance: {credits: 50, every: day}, offline: {mode: allow, for: 30m, lease: 60s, reclaim_after: 5m}}
  simple: {allowance: {credits: 50, every: day}, offline: {mode: basic, lease: 30s, reclaim_after: 10m}}
  shares:
    allowance: {credits: 90, every: 20m}
    features: {seats: 3}
    pooling: {scope: hybrid, personal: 12}
    rollover: {subscription: {up_to: 40%, times: 2}, incentive: {up_to: 5}, on_demand: {lasts: 1h}}
    overage: [{borrow: {up_to: 20}}]
    on_demand: {packs: {bag: {credits: 7, price: 1, lasts: 20m}}, buyers: member, pool: personal}
    incentives: {gift: {credits: 4, lasts: 20m, per_user: 9, per_period: 10, pool: personal}}
    offline: {mode: allow, for: 30m, lease: 60s, reclaim_after: 5m}
  teams:
    allowance: {credits: 60, every: 30m}
    pooling: {scope: team}
    rollover: {subscription: {up_to: 25, times: unlimited}}
    on_demand: {packs: {bag: {credits: 9, price: 1, lasts: 1h}}}
    overage: [{top_up: {pack: bag, below: 10, at_most: 2}}, {borrow: {up_to: 50%}}, {soft: {up_to: 20, per_user: 8}}]
    offline: {mode: deny, lease: 60s, reclaim_after: 5m}
  moving:
    allowance: {credits: 60, every: 50m}
    fee: {amount: 3, every: day}
    term: {lasts: 100m}
    commitment: {spend: 9, over: day, discount: 10%}
    pooling: {scope: team}
    rollover: {subscription: {up_to: 50%, lasts: 2h}}
    overage: [{soft: {up_to: 20}}]
    on_demand: {packs: {bag: {credits: 9, price: 1, lasts: 2h}}}
    refunds: {charges: {within: 3h, reissue: 40m}, purchases: {within: 1h, rate: 50%, as: credit}}
    transfers: {between: accounts, by: member, up_to: 90, every: 1h}
    alerts: [{name: e, expires_within: 5m}, {name: o, overage_reaches: 50%}, {name: b, burn_above: 2x}]
    offline: {mode: deny, lease: 60s, reclaim_after: 5m}
  moved:
    allowance: [{credits: 40, every: 30m}, {credits: 9, every: 20m}]
    fee: {amount: 7, every: day}
    features: {seats: 2}
    pooling: {scope: hybrid, personal: 5}
    overage: [{borrow: {up_to: 10}}, {soft: {up_to: 9}}]
    refunds: {charges: {within: 3h, reissue: never}}
    transfers: {between: accounts}
    caps: [{name: user, per: user, limit: 40, every: hour}]
    offline: {mode: allow, for: 30m, lease: 60s, reclaim_after: 5m}
  pool_first:
    allowance: [{credits: 40, every: 15m}, {credits: 9, every: 10m}]
    features: {seats: 2}
    pooling: {scope: hybrid, personal: 50%, spend: pool_first}
    rollover: {subscription: {up_to: 30, lasts: 25m}}
    on_demand: {packs: {bag: {credits: 5, price: 1}}}
    overage: [{soft: {up_to: 6}}, {top_up: {pack: bag, at_most: 1}}]
    caps: [{name: user, per: user, limit: 30, every: hour}]
    offline: {mode: emergency, emergency: {credits: 9, every: 10m}, for: 40m, lease: 60s, reclaim_after: 5m}
";

/// Each account's plan.
const ACCOUNTS: [(&str, &str); 10] = [
    ("a", "small"),
    ("b", "large"),
    ("c", "cautious"),
    ("d", "easy"),
    ("e", "simple"),
    ("f", "shares"),
    ("g", "teams"),
    ("h", "pool_first"),
    ("i", "moving"),
    ("j", "moved"),
];

const STEPS: usize = 300;

/// Seconds, a minute, rarely hours.
fn wait(dice: &mut Dice) -> i64 {
    let seconds = match dice.roll(20) {
        0 => dice.roll(7200),
        1..=3 => dice.roll(120),
        _ => dice.roll(3),
    };
    i64::try_from(seconds).unwrap() * 1_000_000
}

fn run(seed: u64) {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut play = Play::new(seed, Dice::new(seed), start, PLAYBOOK);
    play.plans = &["moving", "moved", "simple", "shares", "teams"];
    for (account, plan) in ACCOUNTS {
        play.carry_out("s1", &format!("subscribe: {{account: {account}, plan: {plan}}}"));
        play.accounts.push(account);
    }
    // What is moved, rolled, bought and changed comes more often.
    play.accounts.extend(["f", "g", "i", "i", "j", "j"]);
    for _ in 0..STEPS {
        let at = play.world.at.plus_micros(wait(&mut play.dice));
        play.step(at);
    }
    play.settle_down(play.world.at.plus_micros(3 * 3_600_000_000));
}

#[test]
fn books_balance_in_random_worlds() {
    seeds(100).for_each(run);
}
