//! Caps, alerts and the offline mode as written.

use rust_decimal::Decimal;

use crate::playbook::cap::{Cap, Glob, Measure, Scope};
use crate::playbook::finding::{At, Findings, Place, shown, why};
use crate::playbook::read::{Cursor, Fields, unique};
use crate::playbook::scalar::{Portion, TIMES, WINDOWS};
use crate::playbook::shape::governance as shape;
use crate::types::calendar::Every;
use crate::types::{Credits, Length, Name, Percent, Quantity};

/// The most caps of a plan: each authorise looks at all of them.
pub const CAPS_MAX: usize = 64;

/// The most alerts of a plan: each operation looks at all of them.
pub const ALERTS_MAX: usize = 64;

#[derive(Debug)]
pub struct CapLine {
    pub name: At<Name>,
    /// Of its pattern.
    pub matches: Option<Place>,
    pub cap: Cap,
}

#[derive(Debug)]
pub struct Alert {
    pub name: At<Name>,
    pub when: At<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    BalanceBelow(Portion),
    ExpiresWithin {
        lasts: Length,
        at_least: Option<Credits>,
    },
    CapReaches {
        cap: At<Name>,
        share: Percent,
    },
    OverageReaches(Portion),
    /// `3x`: this hour against the mean of the last 24.
    BurnAbove(Decimal),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Offline {
    pub mode: Option<At<Mode>>,
    pub lasts: Option<At<Length>>,
    pub wait: Option<At<Length>>,
    pub emergency: Option<At<Emergency>>,
    pub lease: Option<At<Length>>,
    pub reclaim_after: Option<At<Length>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Deny,
    Basic,
    Emergency,
    Allow,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Emergency {
    pub credits: At<Credits>,
    pub every: At<Every>,
}

const SCOPES: &[(&str, Scope)] = &[
    ("account", Scope::Account),
    ("team", Scope::Team),
    ("user", Scope::User),
    ("agent", Scope::Agent),
    ("action", Scope::Action),
    ("run", Scope::Run),
];

pub fn caps(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<CapLine> {
    let items = cursor.items(f, CAPS_MAX);
    let caps: Vec<_> = items.iter().filter_map(|item| cap(item, f)).collect();
    unique(caps.iter().map(|cap| &cap.name), "caps", f);
    caps
}

/// One cap, in a plan or set for one account.
pub fn cap(cursor: &Cursor<'_>, f: &mut Findings) -> Option<CapLine> {
    let fields = cursor.fields(f, &shape::CAP)?;
    let name = fields.require(f, "name", "daily-user").and_then(|c| c.name(f));
    let per = fields.require(f, "per", "user").and_then(|c| c.word(f, SCOPES));
    let pattern = fields.get("match").and_then(|c| c.text(f));
    let soft = fields.get("soft").and_then(|c| c.flag(f)).is_some_and(|soft| soft.value);
    let measure = measure(&fields, per.as_ref().map(|per| per.value), f);
    let (name, per) = (name?, per?);
    let matches = pattern.as_ref().map(|pattern| pattern.place.clone());
    let cap = Cap {
        name: name.value.clone(),
        per: per.value,
        matches: pattern.map(|pattern| Glob(pattern.value)),
        measure: measure?,
        soft,
    };
    Some(CapLine { name, matches, cap })
}

fn measure(fields: &Fields<'_>, per: Option<Scope>, f: &mut Findings) -> Option<Measure> {
    let [kind] = fields.present(shape::CAP.one_of)[..] else {
        if shape::CAP.one_of.iter().any(|key| fields.is_meant(key)) {
            return None;
        }
        let help = "write `limit` for credits, `runs` to count runs, or `concurrent` for open runs";
        let why = "one counter has one limit; two limits are two caps, each with its name in a refusal.";
        f.error_because(
            fields.place(),
            "a cap has exactly one of `limit`, `runs` and `concurrent`",
            why,
            help,
        );
        return None;
    };
    let every = fields.get("every");
    if kind == "concurrent" {
        if let Some(every) = every {
            f.error_because(
                every.place(),
                "what runs at one time has no window",
                why::IDLE,
                "leave `every` out",
            );
        }
        return fields.get(kind)?.whole(f, 0).map(|limit| Measure::Concurrent { limit: limit.value });
    }
    // Without a window a run's budget ends with the run; any other counter would never start anew.
    if every.is_none() && per.is_some_and(|per| per != Scope::Run) {
        fields.require(f, "every", "day");
    }
    let window = every.and_then(|c| c.every(f, WINDOWS)).map(|every| every.value);
    let limit = fields.get(kind)?;
    if kind == "runs" {
        limit.whole(f, 0).map(|limit| Measure::Runs { limit: limit.value, window })
    } else {
        limit.amount(f).map(|limit| Measure::Credits { limit: limit.value, window })
    }
}

pub fn alerts(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<Alert> {
    let items = cursor.items(f, ALERTS_MAX);
    let alerts: Vec<_> = items.iter().filter_map(|item| alert(item, f)).collect();
    unique(alerts.iter().map(|alert| &alert.name), "alerts", f);
    alerts
}

fn alert(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Alert> {
    let fields = cursor.fields(f, &shape::ALERT)?;
    let name = fields.require(f, "name", "low").and_then(|c| c.name(f));
    let [kind] = fields.present(shape::ALERT.one_of)[..] else {
        if shape::ALERT.one_of.iter().any(|key| fields.is_meant(key)) {
            return None;
        }
        let help = "write one of `balance_below`, `expires_within`, `cap` with `reaches`, `overage_reaches`, `burn_above`";
        let why = "an alert says by its name what has happened; two conditions are two alerts.";
        f.error_because(cursor.place(), "an alert has exactly one condition", why, help);
        return None;
    };
    for (key, with) in [("at_least", "expires_within"), ("cap", "reaches")] {
        if let Some(stray) = fields.get(key).filter(|_| kind != with) {
            let problem = format!("`{key}` goes with `{with}`, not with `{kind}`");
            f.error_because(stray.place(), problem, why::IDLE, "leave it out");
        }
    }
    let value = fields.get(kind)?;
    let when = match kind {
        "balance_below" => value.portion(f, false).map(|below| Condition::BalanceBelow(below.value)),
        "expires_within" => {
            let at_least = fields.get("at_least").and_then(|c| c.amount(f)).map(|least| least.value);
            value.length(f).map(|lasts| Condition::ExpiresWithin { lasts: lasts.value, at_least })
        }
        "reaches" => {
            let cap = fields.require(f, "cap", "daily-user").and_then(|c| c.name(f));
            let share = value.percent(f, false).map(|share| share.value);
            cap.zip(share).map(|(cap, share)| Condition::CapReaches { cap, share })
        }
        "overage_reaches" => value.portion(f, false).map(|share| Condition::OverageReaches(share.value)),
        _ => times(&value, f).map(Condition::BurnAbove),
    };
    Some(Alert { name: name?, when: value.at(when?) })
}

/// `3x`
fn times(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Decimal> {
    let text = cursor.text(f)?;
    let times = text.value.strip_suffix('x').and_then(|number| number.parse::<Quantity>().ok());
    match times.filter(|times| times.is_positive()) {
        Some(times) => Some(times.decimal()),
        None => {
            let problem = format!("`{}` is not a multiple", shown(&text.value));
            f.error(&text.place, problem, "write a number above zero and an `x`, such as `3x`");
            None
        }
    }
}

pub fn offline(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Offline>> {
    let fields = cursor.fields(f, &shape::OFFLINE)?;
    let modes = [
        ("deny", Mode::Deny),
        ("basic", Mode::Basic),
        ("emergency", Mode::Emergency),
        ("allow", Mode::Allow),
    ];
    let offline = Offline {
        mode: fields.get("mode").and_then(|c| c.word(f, &modes)),
        lasts: fields.get("for").and_then(|c| c.exact_length(f, true)),
        wait: fields.get("wait").and_then(|c| c.exact_length(f, true)),
        emergency: fields.get("emergency").and_then(|c| emergency(&c, f)),
        lease: fields.get("lease").and_then(|c| c.exact_length(f, false)),
        reclaim_after: fields.get("reclaim_after").and_then(|c| c.exact_length(f, false)),
    };
    if offline.mode.as_ref().is_some_and(|mode| mode.value == Mode::Emergency) {
        fields.require(f, "emergency", "{credits: 100, every: 10m}");
    }
    Some(cursor.at(offline))
}

fn emergency(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Emergency>> {
    let fields = cursor.fields(f, &shape::EMERGENCY)?;
    let credits = fields.require(f, "credits", "100").and_then(|c| c.amount(f));
    let every = fields.require(f, "every", "10m").and_then(|c| c.every(f, TIMES));
    Some(cursor.at(Emergency { credits: credits?, every: every? }))
}
