//! A plan's own keys, its allowance and its billing.

use super::chain::LINK;
use super::credits::{INCENTIVE, ON_DEMAND, POOLING, REFUNDS, ROLLOVER, TRANSFERS};
use super::governance::{ALERT, CAP, OFFLINE};
use super::kind::{Key, Kind, LENGTH, Map, PERIOD};
use crate::playbook::document::chain::LINKS_MAX;
use crate::playbook::document::governance::{ALERTS_MAX, CAPS_MAX};
use crate::playbook::document::plan::ALLOWANCES_MAX;
use crate::playbook::document::whole::ACTIONS_MAX;

pub static PLAN: Map = Map::new(
    "a plan",
    "What an account subscribes to. A subscription may override its keys for one account: the negotiated contract.",
    &[
        Key::new(
            "mode",
            Kind::Words(&["enforce", "observe"]),
            "`observe` decides and records everything and refuses nothing: for a roll-out.",
        )
        .or("`enforce`")
        .of(15),
        Key::new("includes", Kind::List(&Kind::Name, ACTIONS_MAX), "The actions that may run.")
            .or("all")
            .of(15),
        Key::new("price", Kind::Amount, "This plan's price of one credit.").or("`credit.price`").of(4),
        Key::new(
            "features",
            Kind::Named(&Kind::Feature),
            "Boolean and static entitlements, served as they are.",
        )
        .of(15),
        Key::new(
            "allowance",
            ALLOWANCE,
            "Credits of a period; or a list of these, of which the first sets the period.",
        )
        .or("none: pay as you go")
        .of(3),
        Key::new(
            "anchor",
            Kind::Words(&["subscription", "calendar"]),
            "Where periods begin; `calendar` pro-rates the first one by time.",
        )
        .or("`subscription`")
        .of(3),
        Key::new("term", Kind::Map(&TERM), "How long the contract runs.").or("without end").of(3),
        Key::new("fee", Kind::Map(&FEE), "The platform fee, side by side with the price of credits.").of(4),
        Key::new("commitment", Kind::Map(&COMMITMENT), "What the account has promised to spend.").of(4),
        Key::new(
            "overage",
            Kind::List(&Kind::Map(&LINK), LINKS_MAX),
            "What follows when the other blocks are used up, tried in order.",
        )
        .or("nothing: a hard ceiling")
        .of(5),
        Key::new(
            "rollover",
            Kind::Map(&ROLLOVER),
            "What becomes of unused credits at a period's end, by species.",
        )
        .or("they lapse")
        .of(6),
        Key::new("pooling", Kind::Map(&POOLING), "Whose pool a run draws on.")
            .or("the account's alone")
            .of(7),
        Key::new("on_demand", Kind::Map(&ON_DEMAND), "Packs of credits, and who may buy them.").of(8),
        Key::new("incentives", Kind::Named(&Kind::Map(&INCENTIVE)), "Credits awarded for behaviour.").of(13),
        Key::new("refunds", Kind::Map(&REFUNDS), "What is given back, and until when.").or("nothing").of(9),
        Key::new("draw_order", DRAW_ORDER, "Which block burns first.").or("`fefo`").of(10),
        Key::new("transfers", Kind::Map(&TRANSFERS), "Between whom credits move; the giver's plan decides.")
            .or("nobody")
            .of(11),
        Key::new(
            "trading",
            Kind::Words(&["none"]),
            "`none` is the only value: trading is refused by design.",
        )
        .or("`none`")
        .of(12),
        Key::new("caps", Kind::List(&Kind::Map(&CAP), CAPS_MAX), "Limits per scope and window.")
            .or("none")
            .of(14),
        Key::new("alerts", Kind::List(&Kind::Map(&ALERT), ALERTS_MAX), "What is raised, and when.")
            .or("none")
            .of(14),
        Key::new("offline", Kind::Map(&OFFLINE), "What a sidecar does that cannot reach the ledger."),
    ],
);

/// One map, or a list of them.
pub const ALLOWANCE: Kind =
    Kind::OneOf(&[Kind::Map(&ALLOWANCE_LINE), Kind::List(&Kind::Map(&ALLOWANCE_LINE), ALLOWANCES_MAX)]);

const DRAW_ORDER: Kind = Kind::OneOf(&[
    Kind::Words(&["fefo", "fifo", "lifo"]),
    Kind::List(&Kind::Words(&["subscription", "rollover", "incentive", "on_demand", "refund"]), 9),
]);

pub static ALLOWANCE_LINE: Map = Map::new(
    "allowance",
    "Credits that come with the plan.",
    &[
        Key::new("credits", Kind::Amount, "How many.").required(),
        Key::new(
            "every",
            Kind::OneOf(&[Kind::Words(&["day", "week", "month", "quarter", "year", "once"]), LENGTH]),
            "How often; `once` is a trial or a start.",
        )
        .required(),
        Key::new("lasts", LENGTH, "With `once` only: when what is left of it ends.").or("it does not end"),
    ],
);

pub static TERM: Map = Map::new(
    "term",
    "How long the contract runs.",
    &[
        Key::new("lasts", LENGTH, "From the subscription on.").required(),
        Key::new("renews", Kind::Flag, "Whether another term follows.").or("`true`"),
        Key::new(
            "unused",
            Kind::Words(&["lapse", "roll"]),
            "What becomes of unused credits at its end: they lapse, or roll by the rollover rule.",
        )
        .or("`lapse`"),
    ],
);

pub static FEE: Map = Map::new(
    "fee",
    "Billing lines, not invoices.",
    &[
        Key::new("amount", Kind::Amount, "In the currency.").required(),
        Key::new("every", PERIOD, "At the start of each.").required(),
    ],
);

pub static COMMITMENT: Map = Map::new(
    "commitment",
    "Fee, overage and pack lines count at their discounted price; a line `commitment` bills the shortfall.",
    &[
        Key::new("spend", Kind::Amount, "In the currency.").required(),
        Key::new("over", PERIOD, "At the end of each the shortfall is billed.").required(),
        Key::new("discount", Kind::Percent { bounded: true }, "On every line.").or("`0%`"),
    ],
);
