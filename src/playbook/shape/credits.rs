//! What becomes of credits: rollover, pooling, packs, incentives, refunds and transfers.

use super::kind::{Key, Kind, LANDING, LENGTH, Map, PERIOD, PORTION, PORTION_BEYOND};

const ROLL: Kind = Kind::Map(&ROLL_RULE);

pub static ROLLOVER: Map = Map::new(
    "rollover",
    "By species; one that is not named does not roll. Rolled credits count as their own species when they roll again.",
    &[
        Key::new("subscription", ROLL, "Of the allowance."),
        Key::new("incentive", ROLL, "Of awards that end at a period's end."),
        Key::new("on_demand", ROLL, "Of packs that end at a period's end."),
        Key::new("refund", ROLL, "Of reissued credits that end at a period's end."),
    ],
);

pub static ROLL_RULE: Map = Map::new(
    "how a species rolls",
    "Fewest rolls first; what does not roll lapses.",
    &[
        Key::new("up_to", PORTION_BEYOND, "Credits, or a percentage of the allowance, at each boundary.")
            .or("`100%`"),
        Key::new(
            "times",
            Kind::OneOf(&[Kind::Whole { least: 1, most: u32::MAX }, Kind::Words(&["unlimited"])]),
            "How often the same credits roll.",
        )
        .or("1"),
        Key::new("lasts", Kind::OneOf(&[Kind::Words(&["forever"]), LENGTH]), "How long rolled credits last.")
            .or("one period"),
    ],
);

pub static POOLING: Map = Map::new(
    "pooling",
    "`team`: a team's runs draw on what administrators allocated to it. `hybrid`: a user's share, then the team's pool, then the account's.",
    &[
        Key::new("scope", Kind::Words(&["account", "team", "hybrid"]), "Which pools there are.").required(),
        Key::new(
            "personal",
            PORTION,
            "Set aside for each seat at each period's start: credits, or a percentage of an equal share. With `hybrid` only.",
        ),
        Key::new(
            "spend",
            Kind::Words(&["personal_first", "pool_first"]),
            "In which order. With `hybrid` only.",
        )
        .or("`personal_first`"),
    ],
);

pub static ON_DEMAND: Map = Map::new(
    "on_demand",
    "Packs of credits, and who may buy them.",
    &[
        Key::new("packs", Kind::Named(&Kind::Map(&PACK)), "What there is to buy.").required(),
        Key::new(
            "buyers",
            Kind::OneOf(&[BUYER_WORD, Kind::Map(&MEMBER), Kind::List(&BUYER, 2)]),
            "Who may buy; administrators always may.",
        )
        .or("`admin`"),
        Key::new("pool", LANDING, "Where a member's purchase lands.").or("`account`"),
    ],
);

const BUYER_WORD: Kind = Kind::Words(&["admin", "member"]);

const BUYER: Kind = Kind::OneOf(&[BUYER_WORD, Kind::Map(&MEMBER)]);

pub static PACK: Map = Map::new(
    "a pack",
    "Granted at once and billed.",
    &[
        Key::new("credits", Kind::Positive, "How many.").required(),
        Key::new("price", Kind::Amount, "Of the pack, in the currency.").required(),
        Key::new("lasts", LENGTH, "From the purchase on.").or("they do not expire"),
    ],
);

pub static MEMBER: Map = Map::new(
    "members as buyers",
    "Within a limit.",
    &[Key::new("member", Kind::Map(&BUYER_LIMIT), "Each member's limit.").required()],
);

pub static BUYER_LIMIT: Map = Map::new(
    "a member's limit",
    "Credits that one member may buy.",
    &[
        Key::new("up_to", Kind::Amount, "Credits.").required(),
        Key::new("every", PERIOD, "When it starts anew.").required(),
    ],
);

pub static INCENTIVE: Map = Map::new(
    "an incentive",
    "Awarded by `Award`, to one user.",
    &[
        Key::new("credits", Kind::Amount, "How many.").required(),
        Key::new("lasts", LENGTH, "From the award on; over 90 days is warned of.").or("they do not expire"),
        Key::new("per_user", Kind::Whole { least: 1, most: u32::MAX }, "Awards, ever.").or("without limit"),
        Key::new(
            "per_period",
            Kind::Amount,
            "Credits over all users; the award that would pass it is cut to what is left.",
        )
        .or("without limit"),
        Key::new("pool", LANDING, "Where they land.").or("`account`"),
    ],
);

pub static REFUNDS: Map = Map::new(
    "refunds",
    "What is given back, and until when.",
    &[
        Key::new("charges", Kind::Map(&CHARGE_REFUNDS), "Credits of charges, back to their blocks.")
            .or("none"),
        Key::new("purchases", Kind::Map(&PURCHASE_REFUNDS), "Unused credits of one purchase.").or("none"),
    ],
);

pub static CHARGE_REFUNDS: Map = Map::new(
    "refunds.charges",
    "A charge is unwound in reverse: debt first, then the blocks that paid last.",
    &[
        Key::new("within", LENGTH, "From the charge on.").required(),
        Key::new(
            "reissue",
            Kind::OneOf(&[Kind::Words(&["never"]), LENGTH]),
            "Where the block has ended: a new `refund` block that lasts so long; `never`: they lapse.",
        )
        .or("a `refund` block that does not expire"),
    ],
);

pub static PURCHASE_REFUNDS: Map = Map::new(
    "refunds.purchases",
    "Unused on-demand credits of one purchase.",
    &[
        Key::new("within", LENGTH, "From the purchase on.").required(),
        Key::new("rate", Kind::Percent { bounded: true }, "Of the price of what is unused.").or("`100%`"),
        Key::new("minimum", Kind::Amount, "Credits: less than this is not refunded.").or("0"),
        Key::new("as", Kind::Words(&["money", "credit"]), "How it is paid.").or("`money`"),
    ],
);

pub static TRANSFERS: Map = Map::new(
    "transfers",
    "Between whom credits move.",
    &[
        Key::new(
            "between",
            Kind::Words(&["none", "pools", "accounts"]),
            "Pools of one account, or accounts.",
        )
        .or("`none`"),
        Key::new("by", Kind::Words(&["admin", "member"]), "Who may; administrators always may.")
            .or("`admin`"),
        Key::new("up_to", Kind::Amount, "Credits.").or("without limit"),
        Key::new("every", PERIOD, "When the limit starts anew; with `up_to` it must stand."),
    ],
);
