//! Caps, alerts and the offline mode.

use super::kind::{Key, Kind, LENGTH, Map, PORTION_BEYOND, TIMES, WINDOW};

pub static CAP: Map = Map::new(
    "a cap",
    "A counter for each scope and window. Exactly one of `limit`, `runs` and `concurrent` stands.",
    &[
        Key::new("name", Kind::Name, "What a refusal names.").required(),
        Key::new(
            "per",
            Kind::Words(&["account", "team", "user", "agent", "action", "run"]),
            "One counter for each; `run` is a `run_id` or, without one, the root run, with all its descendants and retries.",
        )
        .required(),
        Key::new("match", Kind::Text, "Only those whose name matches, `*` and `?` standing for anything.").or("all"),
        Key::new("limit", Kind::Amount, "Credits in a window."),
        Key::new("runs", Kind::Whole { least: 0, most: u32::MAX }, "Runs in a window; a released run gives its place back."),
        Key::new("concurrent", Kind::Whole { least: 0, most: u32::MAX }, "Root runs that are open at one time."),
        Key::new(
            "every",
            WINDOW,
            "The window: of the calendar in the account's time zone, or a length from the subscription's start. Must stand but with `per: run` and `concurrent`.",
        ),
        Key::new("soft", Kind::Flag, "Never refuses: flags the decision and raises alerts.").or("`false`"),
    ],
)
.one_of(&["limit", "runs", "concurrent"]);

pub static ALERT: Map = Map::new(
    "an alert",
    "Raised when its one condition becomes true, and again only after it was false.",
    &[
        Key::new("name", Kind::Name, "What it is called.").required(),
        Key::new("balance_below", PORTION_BEYOND, "Credits, or a percentage of the period's allowance."),
        Key::new("expires_within", LENGTH, "Credits that end at or before so long from now."),
        Key::new("at_least", Kind::Amount, "With `expires_within`: how many of them.").or("any"),
        Key::new("cap", Kind::Name, "With `reaches`: the cap that is watched, per scope and window."),
        Key::new("reaches", Kind::Percent { bounded: false }, "Of the cap's limit, spent and held together."),
        Key::new(
            "overage_reaches",
            PORTION_BEYOND,
            "Credits of overage in the period, or a percentage of `soft.up_to`.",
        ),
        Key::new("burn_above", Kind::Multiple, "This hour against the mean of the account's last 24 hours."),
    ],
)
.one_of(&["balance_below", "expires_within", "reaches", "overage_reaches", "burn_above"]);

pub static OFFLINE: Map = Map::new(
    "offline",
    "What a sidecar does that cannot reach the ledger, once its lease cannot pay.",
    &[
        Key::new(
            "mode",
            Kind::Words(&["deny", "basic", "emergency", "allow"]),
            "Denies, runs basic actions alone, runs on the emergency allowance, or runs everything.",
        )
        .or("`deny`"),
        Key::new("for", Kind::Length { exact: true, zero: true }, "For how long; then it denies.").or("`1h`"),
        Key::new("wait", Kind::Length { exact: true, zero: true }, "How long a run may wait for the ledger.")
            .or("`1s`"),
        Key::new(
            "emergency",
            Kind::Map(&EMERGENCY),
            "Per account, leased in advance. With `mode: emergency` it must stand.",
        ),
        Key::new("lease", Kind::Length { exact: true, zero: false }, "How long a lease lasts.").or("`60s`"),
        Key::new(
            "reclaim_after",
            Kind::Length { exact: true, zero: false },
            "When what a silent lease held goes back to the account.",
        )
        .or("`15m`"),
    ],
);

pub static EMERGENCY: Map = Map::new(
    "offline.emergency",
    "A debt to reconcile.",
    &[
        Key::new("credits", Kind::Amount, "How many in a window.").required(),
        Key::new("every", TIMES, "The window.").required(),
    ],
);
