//! A playbook by chance: every key of the language, within what its rules allow.

use std::fmt::Display;

use super::dice::Dice;
use crate::playbook::{Severity, check};
use crate::types::Timestamp;

pub const PLANS: [&str; 4] = ["p0", "p1", "p2", "p3"];

/// Recurring periods. Short ones would be thousands in a history of years.
const PERIODS: [&str; 10] = ["day", "week", "month", "month", "quarter", "year", "36h", "10d", "1mo", "5mo"];

const LENGTHS: [&str; 8] = ["20m", "2h", "1d", "10d", "1mo", "3mo", "1y", "400d"];

const SHARES: [&str; 4] = ["none", "full", "20%", "33.3%"];

/// A map as it is written.
struct Written<'a> {
    dice: &'a mut Dice,
    scale: u32,
    keys: Vec<String>,
}

impl Written<'_> {
    fn put(&mut self, key: &str, value: impl Display) {
        self.keys.push(format!("{key}: {value}"));
    }

    fn say(&mut self, key: &str, value: impl FnOnce(&mut Self) -> String) {
        let value = value(self);
        self.put(key, value);
    }

    /// One time in so many.
    fn maybe(&mut self, times: u64, key: &str, value: impl FnOnce(&mut Self) -> String) {
        if self.dice.one_in(times) {
            self.say(key, value);
        }
    }

    fn map(&mut self, fill: impl FnOnce(&mut Written<'_>)) -> String {
        let mut inner = Written { dice: self.dice, scale: self.scale, keys: Vec::new() };
        fill(&mut inner);
        format!("{{{}}}", inner.keys.join(", "))
    }

    fn pick(&mut self, from: &[&str]) -> String {
        self.dice.pick(from).to_owned()
    }

    /// Credits from `least` on, with decimal places where balances have them.
    fn credits(&mut self, least: u64, sides: u64) -> String {
        let whole = least + self.dice.roll(sides);
        match self.scale {
            1.. if self.dice.one_in(3) => format!("{whole}.{}", self.dice.roll(10)),
            _ => whole.to_string(),
        }
    }

    fn portion(&mut self, sides: u64, whole: bool) -> String {
        match whole && self.dice.one_in(2) {
            true => self.pick(&["10%", "33%", "50%", "100%"]),
            false => self.credits(0, sides),
        }
    }

    fn money(&mut self) -> String {
        format!("{}.{:02}", self.dice.roll(9), self.dice.roll(100))
    }

    fn lasts(&mut self) -> String {
        self.pick(&LENGTHS)
    }

    fn every(&mut self) -> String {
        self.pick(&PERIODS)
    }
}

/// A document that is accepted; `effective` as given.
pub fn playbook(dice: &mut Dice, version: u32, effective: Option<Timestamp>) -> String {
    let scale = u32::try_from(dice.roll(4)).unwrap();
    let mut whole = Written { dice, scale, keys: Vec::new() };
    let w = &mut whole;
    w.put("bursar", 1);
    w.put("playbook", "random");
    w.put("version", version);
    if let Some(at) = effective {
        w.put("effective", at);
    }
    w.maybe(3, "notice", |w| w.pick(&["1d", "10d", "1mo"]));
    w.maybe(2, "grandfather", |w| w.pick(&["none", "until_renewal", "forever", "10d", "3mo"]));
    w.say("credit", |w| {
        w.map(|w| {
            w.say("unit", |w| w.pick(&["input", "activity", "capacity", "output", "outcome"]));
            w.put("scale", w.scale);
            w.maybe(2, "rounding", |w| w.pick(&["up", "half_even", "down"]));
            w.put("price", "0.10");
            w.put("currency", "USD");
        })
    });
    w.say("actions", |w| {
        w.map(|w| {
            for name in ["draft", "tokens", "ping", "lead", "basic"] {
                w.say(name, |w| w.map(|w| action(w, name)));
            }
        })
    });
    w.say("plans", |w| {
        w.map(|w| {
            for name in PLANS {
                w.say(name, |w| w.map(plan));
            }
        })
    });
    w.say("addons", |w| {
        w.map(|w| {
            w.say("extra", |w| {
                w.map(|w| {
                    w.say("allowance", |w| w.map(allowance));
                    w.maybe(2, "features", |_| "{sso: true}".to_owned());
                    w.maybe(2, "fee", fee);
                })
            });
        })
    });
    whole.keys.join("\n") + "\n"
}

fn action(w: &mut Written<'_>, name: &str) {
    w.say("weight", |w| weight(w, name));
    if name == "tokens" {
        w.say("per", |w| (1 + w.dice.roll(3)).to_string());
    }
    match name {
        "ping" => w.put("trigger", "event"),
        "lead" => w.put("trigger", "outcome"),
        "basic" => w.put("basic", true),
        _ => {}
    }
    w.maybe(3, "failure", |w| w.pick(&SHARES));
    w.maybe(3, "cancelled", |w| w.pick(&SHARES));
    w.maybe(3, "partial", |w| w.pick(&["prorate", "all_or_nothing", "{threshold: 50%}"]));
    w.maybe(2, "lapse", |w| w.pick(&SHARES));
    w.maybe(2, "retries", |w| {
        let within = w.pick(&["10m", "1d", "1mo"]);
        format!("{{within: {within}, free: {}}}", w.dice.roll(3))
    });
    w.maybe(2, "reserve", |w| {
        w.pick(&[
            "{ttl: 2m, longest: 20m}",
            "{ttl: 3m, outcome_ttl: 30m}",
            "{ttl: 1d, longest: 10d, outcome_ttl: 2mo}",
            "{ttl: 20d}",
            "{longest: 1mo}",
        ])
    });
    w.maybe(3, "minimum", |w| w.pick(&["0.5", "1", "2.25"]));
    w.maybe(4, "value", Written::money);
    w.maybe(3, "when", |w| {
        let weight = self::weight(w, name);
        format!("[{{model: large, weight: {weight}, failure: 10%}}]")
    });
}

fn weight(w: &mut Written<'_>, name: &str) -> String {
    match name {
        "tokens" => format!("{{in: 0.{}, out: 1.{}}}", w.dice.roll(100), w.dice.roll(10)),
        _ => w.pick(&["0.5", "1", "1", "2", "3", "1.37"]),
    }
}

fn allowance(w: &mut Written<'_>) {
    w.say("credits", |w| w.credits(0, 90));
    match w.dice.one_in(6) {
        true => {
            w.put("every", "once");
            w.maybe(2, "lasts", Written::lasts);
        }
        false => {
            w.say("every", |w| w.every());
        }
    }
}

fn fee(w: &mut Written<'_>) -> String {
    let (amount, every) = (w.money(), w.every());
    format!("{{amount: {amount}, every: {every}}}")
}

fn plan(w: &mut Written<'_>) {
    let (has_allowance, recurs) = allowances(w);
    w.maybe(12, "mode", |_| "observe".to_owned());
    w.maybe(6, "includes", |_| "[draft, tokens, basic]".to_owned());
    w.maybe(3, "price", |w| format!("0.{:02}", w.dice.roll(20)));
    w.maybe(2, "features", |w| format!("{{sso: true, models: [small, large], seats: {}}}", w.dice.roll(5)));
    w.maybe(3, "anchor", |w| w.pick(&["subscription", "calendar"]));
    w.maybe(2, "term", |w| {
        w.map(|w| {
            w.say("lasts", |w| w.pick(&["10d", "1mo", "3mo", "1y", "2y"]));
            w.maybe(3, "renews", |w| w.pick(&["true", "false"]));
            w.maybe(2, "unused", |w| w.pick(&["lapse", "roll"]));
        })
    });
    w.maybe(2, "fee", fee);
    w.maybe(3, "commitment", |w| {
        let over = w.pick(&["month", "quarter", "year", "45d"]);
        format!("{{spend: {}, over: {over}, discount: 10%}}", w.dice.roll(90))
    });
    if has_allowance {
        w.maybe(2, "rollover", rollover);
    }
    w.maybe(2, "pooling", |w| pooling(w, has_allowance));
    let packs = packs(w);
    w.maybe(2, "incentives", incentives);
    w.maybe(2, "refunds", refunds);
    w.maybe(2, "draw_order", |w| {
        w.pick(&["fefo", "fifo", "lifo", "[on_demand, rollover]", "[incentive, subscription]"])
    });
    w.maybe(2, "transfers", |w| {
        let (between, by) =
            (w.pick(&["none", "pools", "accounts", "accounts"]), w.pick(&["admin", "member"]));
        let limit = if w.dice.one_in(2) {
            format!(", up_to: {}, every: {}", w.credits(0, 60), w.every())
        } else {
            String::new()
        };
        format!("{{between: {between}, by: {by}{limit}}}")
    });
    w.maybe(4, "trading", |_| "none".to_owned());
    let soft = chain(w, recurs, packs);
    governance(w, has_allowance, soft);
    w.maybe(2, "offline", offline);
}

/// Whether there is an allowance at all, and whether the first recurs.
fn allowances(w: &mut Written<'_>) -> (bool, bool) {
    if w.dice.one_in(8) {
        return (false, false);
    }
    let count = 1 + w.dice.roll(4) / 2;
    let lines: Vec<String> = (0..count).map(|_| w.map(allowance)).collect();
    w.put("allowance", if count == 1 { lines[0].clone() } else { format!("[{}]", lines.join(", ")) });
    (true, !lines[0].contains("once"))
}

fn rollover(w: &mut Written<'_>) -> String {
    w.map(|w| {
        for species in ["subscription", "incentive", "on_demand", "refund"] {
            if species != "subscription" && !w.dice.one_in(3) {
                continue;
            }
            w.say(species, |w| {
                w.map(|w| {
                    w.maybe(2, "up_to", |w| w.portion(40, true));
                    w.maybe(2, "times", |w| w.pick(&["1", "2", "5", "unlimited"]));
                    w.maybe(2, "lasts", |w| w.pick(&["1h", "20d", "1mo", "1y", "forever"]));
                })
            });
        }
    })
}

fn pooling(w: &mut Written<'_>, has_allowance: bool) -> String {
    match w.dice.roll(4) {
        0 => "{scope: account}".to_owned(),
        1 => "{scope: team}".to_owned(),
        _ => w.map(|w| {
            w.put("scope", "hybrid");
            w.maybe(2, "personal", |w| w.portion(20, has_allowance));
            w.maybe(2, "spend", |w| w.pick(&["personal_first", "pool_first"]));
        }),
    }
}

/// Whether there are any.
fn packs(w: &mut Written<'_>) -> bool {
    if w.dice.one_in(4) {
        return false;
    }
    w.say("on_demand", |w| {
        w.map(|w| {
            w.say("packs", |w| {
                w.map(|w| {
                    for name in ["bag", "box"] {
                        w.say(name, |w| {
                            w.map(|w| {
                                w.say("credits", |w| w.credits(1, 20));
                                w.say("price", Written::money);
                                w.maybe(2, "lasts", Written::lasts);
                            })
                        });
                    }
                })
            });
            w.maybe(2, "buyers", |w| {
                let limit = format!("{{member: {{up_to: {}, every: {}}}}}", w.credits(0, 50), w.every());
                w.pick(&["admin", "member", "[admin, member]", &limit, &format!("[admin, {limit}]")])
            });
            w.maybe(2, "pool", |w| w.pick(&["account", "personal"]));
        })
    });
    true
}

fn incentives(w: &mut Written<'_>) -> String {
    w.map(|w| {
        w.say("gift", |w| {
            w.map(|w| {
                w.say("credits", |w| w.credits(1, 9));
                w.maybe(2, "lasts", Written::lasts);
                w.maybe(2, "per_user", |w| (1 + w.dice.roll(5)).to_string());
                w.maybe(2, "per_period", |w| w.credits(0, 20));
                w.maybe(2, "pool", |w| w.pick(&["account", "personal"]));
            })
        });
    })
}

fn refunds(w: &mut Written<'_>) -> String {
    w.map(|w| {
        w.maybe(2, "charges", |w| {
            w.map(|w| {
                w.say("within", |w| w.lasts());
                w.maybe(2, "reissue", |w| w.pick(&["never", "20m", "10d", "2mo"]));
            })
        });
        w.maybe(2, "purchases", |w| {
            w.map(|w| {
                w.say("within", |w| w.lasts());
                w.maybe(2, "rate", |w| w.pick(&["50%", "100%"]));
                w.maybe(2, "minimum", |w| w.credits(0, 5));
                w.maybe(2, "as", |w| w.pick(&["money", "credit"]));
            })
        });
    })
}

/// Whether the overage has a limit that an alert can name a share of.
fn chain(w: &mut Written<'_>, recurs: bool, packs: bool) -> bool {
    let mut links = Vec::new();
    if packs && w.dice.one_in(3) {
        let top_up = w.map(|w| {
            w.say("pack", |w| w.pick(&["bag", "box"]));
            w.maybe(2, "below", |w| w.credits(0, 20));
            // Without limit it would never run dry.
            w.say("at_most", |w| w.dice.roll(4).to_string());
        });
        links.push(format!("{{top_up: {top_up}}}"));
    }
    if recurs && w.dice.one_in(3) {
        links.push(format!("{{borrow: {{up_to: {}}}}}", w.portion(30, true)));
    }
    let soft = w.dice.roll(4);
    if soft < 2 {
        let link = w.map(|w| {
            if soft == 0 {
                w.say("up_to", |w| w.credits(0, 30));
            }
            w.maybe(3, "per_user", |w| w.credits(0, 10));
            w.maybe(2, "price", |w| {
                w.pick(&["0.12", "[{up_to: 5, at: 0.2}, {up_to: 9, at: 0.15}, {at: 0.1}]"])
            });
        });
        links.push(format!("{{soft: {link}}}"));
    }
    if soft != 1 && w.dice.one_in(3) {
        let every = w.pick(&["day", "week", "month", "36h"]);
        let credits = format!("{{credits: {}, every: {every}}}", w.credits(0, 9));
        links.push(format!("{{degraded: {}}}", w.pick(&["{}", &credits, &credits])));
    }
    // The order is the author's, but nothing follows what has no end.
    if soft != 1 && links.len() > 1 && w.dice.one_in(3) {
        links.reverse();
    }
    if !links.is_empty() {
        w.put("overage", format!("[{}]", links.join(", ")));
    }
    soft == 0
}

/// One cap, of any kind.
pub fn cap(dice: &mut Dice, name: &str) -> String {
    let mut whole = Written { dice, scale: 0, keys: Vec::new() };
    whole.map(|w| {
        w.put("name", name);
        let per = w.pick(&["account", "team", "user", "agent", "action", "run"]);
        w.put("per", &per);
        match per.as_str() {
            "agent" => w.maybe(2, "match", |_| "'research-*'".to_owned()),
            "action" => w.maybe(2, "match", |w| w.pick(&["draft", "'*a*'", "p?ng"])),
            _ => {}
        }
        let kind = w.pick(&["limit", "limit", "runs", "concurrent"]);
        let most = if kind == "limit" { 40 } else { 9 };
        w.say(&kind, |w| (1 + w.dice.roll(most)).to_string());
        if kind != "concurrent" && per != "run" {
            w.say("every", |w| w.pick(&["minute", "hour", "day", "week", "month", "20m", "10d", "2mo"]));
        }
        w.maybe(4, "soft", |_| "true".to_owned());
    })
}

fn governance(w: &mut Written<'_>, has_allowance: bool, soft: bool) {
    let caps: Vec<String> = (0..w.dice.roll(4)).map(|n| cap(w.dice, &format!("c{n}"))).collect();
    let mut alerts = Vec::new();
    let mut alert = |w: &mut Written<'_>, condition: String| {
        if w.dice.one_in(3) {
            alerts.push(format!("{{name: n{}, {condition}}}", alerts.len()));
        }
    };
    let below = format!("balance_below: {}", w.portion(20, has_allowance));
    alert(w, below);
    let expires = format!("expires_within: {}, at_least: {}", w.lasts(), w.dice.roll(9));
    alert(w, expires);
    if !caps.is_empty() {
        alert(w, "cap: c0, reaches: 80%".to_owned());
    }
    let overage = format!("overage_reaches: {}", w.portion(20, soft));
    alert(w, overage);
    alert(w, "burn_above: 2x".to_owned());
    w.put("caps", format!("[{}]", caps.join(", ")));
    w.put("alerts", format!("[{}]", alerts.join(", ")));
}

fn offline(w: &mut Written<'_>) -> String {
    w.map(|w| {
        let mode = w.pick(&["deny", "basic", "emergency", "allow"]);
        w.put("mode", &mode);
        w.maybe(2, "for", |w| w.pick(&["0s", "30m", "2d"]));
        w.maybe(3, "wait", |w| w.pick(&["0s", "5s"]));
        if mode == "emergency" || w.dice.one_in(4) {
            let every = w.pick(&["day", "week", "month", "10d"]);
            w.say("emergency", |w| format!("{{credits: {}, every: {every}}}", w.credits(0, 15)));
        }
        w.maybe(2, "lease", |w| w.pick(&["30s", "60s", "10m", "1d"]));
        w.maybe(2, "reclaim_after", |w| w.pick(&["5m", "15m", "2d"]));
    })
}

#[test]
fn every_playbook_by_chance_is_accepted() {
    for seed in super::dice::seeds(300) {
        let text = playbook(&mut Dice::new(seed), 1, None);
        let report = check(&text);
        let errors: Vec<String> = report.of(Severity::Error).map(ToString::to_string).collect();
        assert!(report.is_sound(), "seed {seed}: {errors:?}\n{text}");
    }
}
