//! The credit weight register.

use super::kind::{Key, Kind, LENGTH, Map};
use crate::playbook::document::actions::{METERS_MAX, WHEN_MAX};

const _: () = assert!(METERS_MAX == 64, "the reference names the bound");

/// `none`, `full` or a percentage of the full charge.
const SHARE: Kind = Kind::OneOf(&[Kind::Words(&["none", "full"]), Kind::Percent { bounded: true }]);

/// The keys that an entry of `when` may replace, and `when` itself last.
static KEYS: [Key; 14] = [
    Key::new(
        "weight",
        Kind::OneOf(&[Kind::Amount, Kind::Named(&Kind::Amount)]),
        "Credits per unit; or, of several meters in one run, credits per unit of each: the run's `quantities` name them (64 at most).",
    )
    .required()
    .of(4),
    Key::new("quantity", Kind::Text, "What one unit is, for people.").of(1),
    Key::new("per", Kind::Positive, "The weight is for so many units.").or("1").of(4),
    Key::new(
        "trigger",
        Kind::Words(&["event", "output", "outcome"]),
        "When a run is charged: when it starts, when it is committed, or when its outcome is verified.",
    )
    .or("`output`")
    .of(2),
    Key::new("failure", SHARE, "What a failed run costs, of its full charge.").or("`none`").of(2),
    Key::new("cancelled", SHARE, "What a run costs that its user stopped, of the full charge of what was used.")
        .or("`full`")
        .of(2),
    Key::new(
        "partial",
        Kind::OneOf(&[Kind::Words(&["prorate", "all_or_nothing"]), Kind::Map(&PARTIAL)]),
        "What a run costs that was completed in part: its share, all or nothing, or all from a threshold on.",
    )
    .or("`prorate`")
    .of(2),
    Key::new("lapse", SHARE, "What a run costs that nobody settled in time, of its full charge.").or("`none`").of(2),
    Key::new("retries", Kind::Map(&RETRIES), "Retries that cost no more than one success.").or("none are free").of(2),
    Key::new("reserve", Kind::Map(&RESERVE), "How long a reservation lives.").of(2),
    Key::new(
        "minimum",
        Kind::Amount,
        "The full charge is at least this; failure, part and cancellation take their share of it.",
    )
    .or("0")
    .of(4),
    Key::new("basic", Kind::Flag, "Still runs in degraded use.").or("`false`").of(5),
    Key::new("value", Kind::Amount, "What one unit is worth to the buyer, in the currency.").of(4),
    Key::new(
        "when",
        Kind::List(&Kind::Map(&WHEN), WHEN_MAX),
        "The first entry whose dimensions all match replaces the keys that it names.",
    )
    .of(4),
];

pub static ACTION: Map = Map::new("an action", "What is metered, and what one unit of it costs.", &KEYS);

pub static WHEN: Map = Map::new(
    "an entry of `when`",
    "The action's keys that it replaces; every other key is a dimension that a run must have with this value.",
    KEYS.split_at(13).0,
)
.others(&Kind::Dimension);

pub static PARTIAL: Map = Map::new(
    "partial",
    "All from a threshold on.",
    &[Key::new(
        "threshold",
        Kind::Percent { bounded: true },
        "A completion from which on the run costs its full charge.",
    )
    .required()],
);

pub static RETRIES: Map = Map::new(
    "retries",
    "A chain of retries costs at most what one success costs.",
    &[
        Key::new("within", LENGTH, "Counted from the end of the run that is retried.").required(),
        Key::new("free", Kind::Whole { least: 0, most: u32::MAX }, "How many retries of a chain.").required(),
    ],
);

pub static RESERVE: Map = Map::new(
    "reserve",
    "How long a reservation lives.",
    &[
        Key::new("ttl", LENGTH, "At first.").or("`15m`"),
        Key::new("longest", LENGTH, "With all its extensions.").or("the larger of `ttl` and `24h`"),
        Key::new("outcome_ttl", LENGTH, "While it awaits its outcome, from the commit that reports success.")
            .or("`14d`"),
    ],
);
