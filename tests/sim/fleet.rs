//! Many sidecars of one account, in short: that nobody is refused what there is, and that the ledger is asked seldom, holds
//! with one as with a hundred. `cargo bench --bench fleet` has the whole table.

use bursar::simulation::{Figures, LARGEST, Load, MEAN_USE, play_fleet};
use bursar::types::Credits;

/// Runs in a second over the whole fleet, and for how long they begin.
const RATE: i64 = 100;
const SECONDS: i64 = 30;

/// What runs give back that end after the last question, nobody asks for: some seconds' runs, in credits.
const LEFT: i64 = RATE * 3;

fn play(sidecars: usize) -> Figures {
    // Three quarters of what would be used: the rest is refused.
    let allowance = RATE * SECONDS * MEAN_USE / 100 * 3 / 4;
    let load = Load { seed: 1, sidecars, runs_per_second: RATE, seconds: SECONDS, allowance, dies: None };
    play_fleet(load, || 0).unwrap()
}

/// Lease calls for 1,000 authorisations while there is plenty, and in all: a sidecar that is asked thirty times in all has
/// its first lease to fetch, and each run in scarcity asks anew.
const BOUNDS: [(usize, u64, u64); 3] = [(1, 20, 20), (10, 60, 80), (100, 450, 450)];

#[test]
fn many_sidecars_share_an_account_to_its_end() {
    for (sidecars, plenty, all) in BOUNDS {
        let figures = play(sidecars);
        let told = format!("{sidecars} sidecars: {figures:?}");
        let asked = figures.all().asked;
        assert_eq!(figures.allowed + figures.refused, asked, "{told}");
        assert!(figures.refused > asked / 10, "the world goes past the end: {told}");
        // Nobody is refused what there is, nor for want of an answer.
        assert_eq!((figures.false_refusals, figures.late), (0, 0), "{told}");
        // Nothing is overspent, and nothing stays behind but what no run fits into.
        let allowance = Credits::whole(figures.load.allowance);
        assert!(figures.spent <= allowance && figures.debt.is_zero(), "{told}");
        assert!(figures.spent + Credits::whole(LEFT) >= allowance, "{told}");
        // The ledger is asked for leases seldom, and decides next to nothing before credits are scarce.
        assert!(figures.plenty.leases * 1000 <= plenty * figures.plenty.asked, "{told}");
        assert!(figures.all().leases * 1000 <= all * asked, "{told}");
        assert!(figures.plenty.decided * 200 <= figures.plenty.asked, "{told}");
        // What lies idle while somebody is refused is less than he asked for, on average less than one credit.
        let (stranded, looks) = figures.stranded_at_refusals;
        assert!(looks > 0 && stranded <= Credits::whole(i64::try_from(looks).unwrap()), "{told}");
        assert!(figures.stranded_at_end <= Credits::whole(LARGEST), "{told}");
        assert_eq!(figures.stranded_at_rest, Credits::ZERO, "{told}");
        // A recall is a matter of messages, not of patience.
        let (_, longest, times) = figures.recall;
        assert!(times > 0 && longest < 300_000, "{told}");
    }
}

#[test]
fn the_lease_of_a_dead_sidecar_goes_back() {
    let load =
        Load { seed: 1, sidecars: 10, runs_per_second: 20, seconds: 300, allowance: 100_000, dies: Some(20) };
    // A lease of a minute and half of it as margin, and a minute that the plan grants it.
    let reclaimed = play_fleet(load, || 0).unwrap().reclaimed_after.unwrap();
    assert!((60_000_000..=150_100_000).contains(&reclaimed), "{reclaimed} microseconds");
}

#[test]
fn the_same_load_goes_the_same_way() {
    assert_eq!(play(10).trace, play(10).trace);
}
