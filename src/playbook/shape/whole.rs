//! The document, the credit and add-ons.

use super::action::ACTION;
use super::kind::{Key, Kind, LENGTH, Map};
use super::plan::{ALLOWANCE, FEE, PLAN};

pub static DOCUMENT: Map = Map::new(
    "the document",
    "One YAML document holds every credit policy of a product.",
    &[
        Key::new("bursar", Kind::Whole { least: 1, most: 1 }, "The version of this format.").required(),
        Key::new("playbook", Kind::Name, "The playbook's name.").required(),
        Key::new("version", Kind::Whole { least: 1, most: u32::MAX }, "Each publication has a higher one.")
            .required()
            .of(16),
        Key::new("effective", Kind::Instant, "From when runs are priced by it.").or("when it is published").of(16),
        Key::new(
            "notice",
            LENGTH,
            "A dearer next version must be published this long before its `effective`; it is refused otherwise.",
        )
        .or("none")
        .of(16),
        Key::new(
            "grandfather",
            Kind::OneOf(&[Kind::Words(&["none", "until_renewal", "forever"]), LENGTH]),
            "How long accounts that have this version keep it when a later one takes effect.",
        )
        .or("`until_renewal`")
        .of(16),
        Key::new("credit", Kind::Map(&CREDIT), "What one credit is.").required().of(1),
        Key::new("actions", Kind::Named(&Kind::Map(&ACTION)), "The credit weight register: what each action costs.")
            .required()
            .of(1),
        Key::new("plans", Kind::Named(&Kind::Map(&PLAN)), "What accounts subscribe to.").required().of(15),
        Key::new("addons", Kind::Named(&Kind::Map(&ADDON)), "What is bought beside a plan.").of(15),
    ],
);

pub static CREDIT: Map = Map::new(
    "credit",
    "What one credit is.",
    &[
        Key::new(
            "unit",
            Kind::Words(&["input", "activity", "capacity", "output", "outcome"]),
            "What the credit stands for: documentation, and a warning.",
        )
        .required()
        .of(1),
        Key::new("scale", Kind::Whole { least: 0, most: 9 }, "Decimal places of a balance.").or("0").of(1),
        Key::new(
            "rounding",
            Kind::Words(&["up", "half_even", "down"]),
            "Each run's charge is rounded once, at its end.",
        )
        .or("`up`")
        .of(4),
        Key::new("price", Kind::Amount, "The list price of one credit.").required().of(4),
        Key::new("currency", Kind::Currency, "Of every price in the document: three capital letters.")
            .required()
            .of(4),
    ],
);

pub static ADDON: Map = Map::new(
    "an add-on",
    "What is bought beside a plan.",
    &[
        Key::new("allowance", ALLOWANCE, "Credits besides the plan's.").of(3),
        Key::new(
            "features",
            Kind::Named(&Kind::Feature),
            "Entitlements besides the plan's; they replace its own.",
        )
        .of(15),
        Key::new("fee", Kind::Map(&FEE), "What it costs.").of(4),
    ],
);
