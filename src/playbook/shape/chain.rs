//! The links of the overage chain.

use super::kind::{Key, Kind, Map, PORTION, TIMES};
use crate::playbook::document::chain::TIERS_MAX;

pub static LINK: Map = Map::new(
    "a link of `overage`",
    "Tried in order once the other blocks are used up. Each kind may stand once.",
    &[
        Key::new(
            "top_up",
            Kind::Map(&TOP_UP),
            "Buys packs by itself, already when the balance falls below `below`.",
        )
        .of(5),
        Key::new("borrow", Kind::Map(&BORROW), "Part of the next period's allowance.").of(5),
        Key::new("soft", Kind::Map(&SOFT), "Headroom past the allowance, billed per credit.").of(5),
        Key::new("degraded", Kind::Map(&DEGRADED), "Basic actions go on, and they alone.").of(5),
    ],
)
.one_of(&["top_up", "borrow", "soft", "degraded"]);

pub static TOP_UP: Map = Map::new(
    "top_up",
    "Decided at the ledger, one at a time per pool; never in observe mode or offline.",
    &[
        Key::new("pack", Kind::Name, "One of `on_demand.packs`.").required(),
        Key::new(
            "below",
            Kind::Amount,
            "Credits below which it buys as many packs as bring the balance back there.",
        )
        .or("only where a run would not fit"),
        Key::new("at_most", Kind::Whole { least: 0, most: u32::MAX }, "Packs per period.")
            .or("without limit"),
    ],
);

pub static BORROW: Map = Map::new(
    "borrow",
    "What was spent or reserved of it is taken from the next allowance.",
    &[Key::new("up_to", PORTION, "Credits, or a percentage of the next period's allowance.").required()],
);

pub static SOFT: Map = Map::new(
    "soft",
    "New each period.",
    &[
        Key::new("up_to", Kind::Amount, "Credits per period.").or("without limit"),
        Key::new("per_user", Kind::Amount, "Credits per period and user.").or("without limit"),
        Key::new(
            "price",
            Kind::OneOf(&[Kind::Amount, Kind::List(&Kind::Map(&TIER), TIERS_MAX)]),
            "Of one credit; or tiers, marginal over the period's overage.",
        )
        .or("the plan's price"),
    ],
);

pub static TIER: Map = Map::new(
    "a tier of a volume price",
    "Each tier but the last says where it ends.",
    &[
        Key::new("up_to", Kind::Positive, "Credits of overage in the period.").or("the last tier has no end"),
        Key::new("at", Kind::Amount, "The price of one credit in this tier.").required(),
    ],
);

pub static DEGRADED: Map = Map::new(
    "degraded",
    "A run that would need it and is not basic is denied with `BASIC_ONLY`.",
    &[
        Key::new("credits", Kind::Amount, "How many, each time.").or("free of charge"),
        Key::new("every", TIMES, "When they start anew; with `credits` it must stand."),
    ],
);
