//! A step by chance. Names are the same in every playbook: the actions `draft`, `tokens` (with two meters), `ping`, `lead`
//! and `basic`, the packs `bag` and `box`, the incentive `gift`, the add-on `extra`.

use super::dice::Dice;
use super::playbooks;
use crate::types::Timestamp;

/// Where a step is set: what is at hand for it.
pub struct Scene<'a> {
    pub dice: &'a mut Dice,
    pub number: usize,
    pub account: &'static str,
    pub accounts: &'a [&'static str],
    pub sidecar: &'static str,
    /// One of the account's last runs.
    pub run: Option<&'a str>,
    /// Something that was granted to the account, or bought.
    pub grant: Option<&'a str>,
    pub plans: &'a [&'static str],
    pub at: Timestamp,
    /// The number of the next version of the playbook, where there may be one.
    pub next_version: Option<u32>,
}

const USERS: [&str; 4] = ["ann", "bob", "cid", "dan"];

const POOLS: [&str; 5] = ["account", "\"team:t\"", "\"team:u\"", "\"user:ann\"", "\"user:bob\""];

const LASTS: [&str; 8] = ["1s", "20m", "90m", "1d", "10d", "1mo", "2mo", "1y"];

pub fn step(scene: &mut Scene<'_>) -> String {
    let sidecar = scene.sidecar;
    match scene.dice.roll(100) {
        0..=1 => format!("partition: {sidecar}"),
        2..=6 => format!("heal: {sidecar}"),
        7 => format!("crash: {{sidecar: {sidecar}, unflushed: {}}}", scene.dice.roll(3)),
        8 if scene.dice.one_in(2) => format!("lose_disk: {sidecar}"),
        _ => operation(scene),
    }
}

/// What somebody asks, of runs or of accounts.
pub fn operation(scene: &mut Scene<'_>) -> String {
    let account = scene.account;
    match (scene.dice.roll(90), scene.run) {
        (0..=37, run) => authorize(scene, run),
        (38..=60, Some(run)) => commit(scene, run),
        (61..=66, Some(run)) => progress(scene, run),
        (67..=70, Some(run)) => format!("release: {{run: {run}}}"),
        (71..=73, _) => record(scene),
        (74..=86, run) => administer(scene, run),
        (87, Some(run)) => format!("state: {{run: {run}}}"),
        (88, _) => format!("invoice: {{account: {account}}}"),
        _ => format!("balance: {{account: {account}}}"),
    }
}

fn quantity(dice: &mut Dice, sides: u64) -> String {
    format!("{}{}", dice.roll(sides), if dice.one_in(4) { dice.pick(&[".5", ".25", ".001"]) } else { "" })
}

/// `quantity` or, where the action has meters, `quantities`.
fn used(dice: &mut Dice, action: &str, sides: u64) -> String {
    if !action.starts_with("tokens") {
        return format!("quantity: {}", quantity(dice, sides));
    }
    format!("quantities: {{in: {}, out: {}}}", quantity(dice, sides * 4), quantity(dice, sides * 2))
}

/// What an authorise says of its run.
fn wish(scene: &mut Scene<'_>, action: &str) -> Vec<String> {
    let dice = &mut *scene.dice;
    let mut keys = vec![format!("account: {}, action: {action}", scene.account)];
    if !dice.one_in(10) {
        keys.push(used(dice, action, 12));
    }
    if dice.one_in(2) {
        keys.push(format!("user: {}", dice.pick(&USERS)));
    }
    if dice.one_in(3) {
        keys.push(format!("team: {}", dice.pick(&["t", "u"])));
    }
    if dice.one_in(6) {
        keys.push(format!("agent: {}", dice.pick(&["research-1", "research-2", "writer"])));
    }
    if dice.one_in(4) {
        keys.push(format!("dimensions: {{model: {}}}", dice.pick(&["large", "small"])));
    }
    keys
}

fn authorize(scene: &mut Scene<'_>, run: Option<&str>) -> String {
    let action = scene.dice.pick(&["draft", "draft", "tokens", "ping", "lead", "basic"]);
    let mut keys = vec![format!("as: {action}{}", scene.number)];
    keys.extend(wish(scene, action));
    let dice = &mut *scene.dice;
    if dice.one_in(5) {
        // One id at several sidecars may be settled twice; the second answer is superseded. Here each has its own, and does
        // not come again once it is forgotten.
        let days = scene.at.micros() / (5 * 86_400_000_000);
        keys.push(format!("request_id: {}-{days}-{}", scene.sidecar, dice.roll(30)));
    }
    match (dice.roll(6), run) {
        (0, Some(run)) => keys.push(format!("parent: {run}")),
        (1, Some(run)) => keys.push(format!("retry_of: {run}")),
        (2, _) => keys.push(format!("run_id: j{}", dice.roll(4))),
        _ => {}
    }
    if dice.one_in(6) {
        keys.push(format!("ttl: {}", dice.pick(&["10s", "5m", "2h", "3d"])));
    }
    if dice.one_in(20) {
        keys.push("validate_only: true".to_owned());
    }
    format!("authorize: {{{}}}", keys.join(", "))
}

/// How a run went.
fn result(dice: &mut Dice) -> String {
    let mut text =
        format!("result: {}", dice.pick(&["SUCCEEDED", "SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED"]));
    if dice.one_in(4) {
        text += &format!(", completion: {}", dice.pick(&["0", "0.3", "0.5", "1"]));
    }
    text
}

fn commit(scene: &mut Scene<'_>, run: &str) -> String {
    let dice = &mut *scene.dice;
    let mut keys = vec![format!("run: {run}"), result(dice)];
    if dice.one_in(2) {
        keys.push(used(dice, run, 16));
    }
    if dice.one_in(5) {
        keys.push("verified: true".to_owned());
    }
    format!("commit: {{{}}}", keys.join(", "))
}

fn progress(scene: &mut Scene<'_>, run: &str) -> String {
    let dice = &mut *scene.dice;
    let mut keys = vec![format!("run: {run}"), used(dice, run, 8)];
    if dice.one_in(2) {
        let ahead = match run.starts_with("tokens") {
            true => format!("ahead: {{in: {}, out: {}}}", dice.roll(20), dice.roll(20)),
            false => format!("ahead: {}", quantity(dice, 12)),
        };
        keys.push(ahead);
    }
    if dice.one_in(2) {
        keys.push(format!("ttl: {}", dice.pick(&["10s", "90s", "10m", "1d"])));
    }
    format!("progress: {{{}}}", keys.join(", "))
}

fn record(scene: &mut Scene<'_>) -> String {
    let (number, action) = (scene.number, scene.dice.pick(&["draft", "tokens", "ping"]));
    let mut keys = vec![format!("as: {action}{number}")];
    keys.extend(wish(scene, action));
    if scene.dice.one_in(3) {
        keys.push(result(scene.dice));
    }
    if scene.dice.one_in(2) {
        // The same request again must be the same: its number says what it is.
        let id = scene.dice.roll(20);
        let days = scene.at.micros() / (5 * 86_400_000_000);
        let account = scene.account;
        return format!(
            "record: {{as: draft{number}, account: {account}, action: draft, quantity: {}, request_id: w{days}-{id}}}",
            id % 9
        );
    }
    format!("record: {{{}}}", keys.join(", "))
}

/// What an administrator or a member does.
fn administer(scene: &mut Scene<'_>, run: Option<&str>) -> String {
    let Scene { dice, account, accounts, number, grant, plans, next_version, at, .. } = scene;
    let (credits, when) = (1 + dice.roll(20), dice.pick(&["now", "renewal"]));
    match (dice.roll(34), run, grant) {
        (0..=3, _, _) => given(dice, account, *number),
        (4..=6, _, _) => {
            let (by, user) = (dice.pick(&["admin", "member"]), dice.pick(&USERS));
            let pack = dice.pick(&["bag", "box"]);
            format!(
                "purchase: {{as: {account}{number}, account: {account}, pack: {pack}, by: {by}, user: {user}}}"
            )
        }
        (7..=8, _, _) => {
            format!("award: {{account: {account}, user: {}, incentive: gift}}", dice.pick(&USERS))
        }
        (9..=12, _, _) => {
            let (from, to) = (dice.pick(&POOLS), dice.pick(&POOLS));
            format!("allocate: {{account: {account}, from: {from}, to: {to}, credits: {credits}}}")
        }
        (13, _, _) => format!("set_overage_limit: {{account: {account}, credits: {credits}}}"),
        (14..=17, Some(run), _) if dice.one_in(2) => format!("refund: {{run: {run}}}"),
        (14..=17, Some(run), _) => format!("refund: {{run: {run}, credits: {}}}", quantity(dice, 6)),
        (18, _, Some(grant)) => format!("refund: {{account: {account}, purchase: {grant}}}"),
        (19, _, Some(grant)) => format!("void: {{account: {account}, grant: {grant}}}"),
        (20..=22, _, _) => {
            let mut place =
                || format!("\"{}{}\"", dice.pick(accounts), dice.pick(&["", "", "/team:t", "/user:ann"]));
            let (from, to) = (place(), place());
            let by = dice.pick(&["admin", "member"]);
            format!("transfer: {{from: {from}, to: {to}, credits: {credits}, by: {by}}}")
        }
        (23..=25, _, _) => {
            format!("change_plan: {{account: {account}, plan: {}, when: {when}}}", dice.pick(plans))
        }
        (26, _, _) => format!("cancel: {{account: {account}, when: {when}}}"),
        (27..=28, _, _) => subscribe(dice, account, plans),
        (29, _, _) => {
            let cap = playbooks::cap(dice, "user");
            format!("set_cap: {{account: {account}, {}", cap.trim_start_matches('{'))
        }
        (30, _, _) => format!("set_seats: {{account: {account}, seats: {}}}", 1 + dice.roll(5)),
        (31, _, _) => {
            format!("{}: {{account: {account}}}", dice.pick(&["suspend", "resume", "resume", "resume"]))
        }
        _ => match next_version {
            Some(version) => publish(dice, *version, *at),
            None => format!("alerts: {{account: {account}}}"),
        },
    }
}

fn given(dice: &mut Dice, account: &str, number: usize) -> String {
    let mut keys = vec![format!("as: {account}{number}, account: {account}, credits: {}", 1 + dice.roll(20))];
    if dice.one_in(2) {
        keys.push(format!("species: {}", dice.pick(&["subscription", "incentive", "refund", "rollover"])));
    }
    if dice.one_in(3) {
        keys.push(format!("starts: {}", dice.pick(&LASTS)));
    }
    if !dice.one_in(4) {
        keys.push(format!("lasts: {}", dice.pick(&LASTS)));
    }
    if dice.one_in(3) {
        keys.push(format!("priority: {}", dice.pick(&["-1", "1", "5"])));
    }
    if dice.one_in(4) {
        keys.push(format!("pool: {}", dice.pick(&POOLS)));
    }
    format!("grant: {{{}}}", keys.join(", "))
}

/// Time zones whose clocks change, each at its own time and by its own step, and one whose days begin before UTC's.
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Auckland", "Asia/Kolkata"];

pub fn subscribe(dice: &mut Dice, account: &str, plans: &[&str]) -> String {
    let mut keys = vec![format!("account: {account}, plan: {}", dice.pick(plans))];
    if dice.one_in(2) {
        keys.push(format!("zone: {}", dice.pick(&ZONES)));
    }
    if dice.one_in(4) {
        keys.push(format!("seats: {}", 1 + dice.roll(5)));
    }
    if dice.one_in(4) {
        keys.push("addons: [extra]".to_owned());
    }
    if dice.one_in(6) {
        keys.push(format!("overrides: {{price: 0.0{}, draw_order: fifo}}", 1 + dice.roll(9)));
    }
    format!("subscribe: {{{}}}", keys.join(", "))
}

fn publish(dice: &mut Dice, version: u32, at: Timestamp) -> String {
    let effective = dice.one_in(2).then(|| {
        let days = i64::try_from(dice.roll(90)).unwrap();
        at.plus_micros(days * 86_400_000_000)
    });
    format!("publish: {:?}", playbooks::playbook(dice, version, effective))
}
