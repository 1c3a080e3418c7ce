//! The warnings: what is allowed and known to cost trust or money, each with its reason and what to write instead.

use super::finding::Choice;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caution {
    InputUnit,
    EventTrigger,
    FullFailure,
    OutlivesReclaim,
    ValueBelowPrice,
    DearOverage,
    EndlessRollover,
    OutlivesTerm,
    Lifo,
    IncentiveRolls,
    IncentiveLasts,
    NoCap,
    NoAlert,
}

/// What a warning says, whatever the document.
struct Said {
    choice: u8,
    what: &'static str,
    why: &'static str,
    help: &'static str,
}

impl Caution {
    pub const ALL: [Self; 13] = [
        Self::InputUnit,
        Self::EventTrigger,
        Self::FullFailure,
        Self::OutlivesReclaim,
        Self::ValueBelowPrice,
        Self::DearOverage,
        Self::EndlessRollover,
        Self::OutlivesTerm,
        Self::Lifo,
        Self::IncentiveRolls,
        Self::IncentiveLasts,
        Self::NoCap,
        Self::NoAlert,
    ];

    pub const fn choice(self) -> Choice {
        Choice(self.said().choice)
    }

    /// What is wrong, in general.
    pub const fn what(self) -> &'static str {
        self.said().what
    }

    pub const fn why(self) -> &'static str {
        self.said().why
    }

    pub const fn help(self) -> &'static str {
        self.said().help
    }

    const fn said(self) -> Said {
        match self {
            Self::InputUnit => INPUT_UNIT,
            Self::EventTrigger => EVENT_TRIGGER,
            Self::FullFailure => FULL_FAILURE,
            Self::OutlivesReclaim => OUTLIVES_RECLAIM,
            Self::ValueBelowPrice => VALUE_BELOW_PRICE,
            Self::DearOverage => DEAR_OVERAGE,
            Self::EndlessRollover => ENDLESS_ROLLOVER,
            Self::OutlivesTerm => OUTLIVES_TERM,
            Self::Lifo => LIFO,
            Self::IncentiveRolls => INCENTIVE_ROLLS,
            Self::IncentiveLasts => INCENTIVE_LASTS,
            Self::NoCap => NO_CAP,
            Self::NoAlert => NO_ALERT,
        }
    }
}

const INPUT_UNIT: Said = Said {
    choice: 1,
    what: "the credit stands for an input",
    why: "buyers pay for what the product consumes and not for what they get, so a better product earns less.",
    help: "sell `output` or `outcome`, and let the weights carry the cost of the inputs",
};

const EVENT_TRIGGER: Said = Said {
    choice: 2,
    what: "an action is charged when its run starts",
    why: "an event is charged before anyone knows whether the run did anything.",
    help: "use `output` or `outcome`",
};

const FULL_FAILURE: Said = Said {
    choice: 2,
    what: "a failed run costs as much as a success",
    why: "buyers who pay in full for failures ask for refunds, or leave.",
    help: "use `none`, or a percentage that covers the cost",
};

const OUTLIVES_RECLAIM: Said = Said {
    choice: 2,
    what: "`reserve.ttl` is above `reclaim_after`",
    why: "a sidecar that is cut off reports such a run after its credits went back, and the charge becomes debt.",
    help: "make `ttl` shorter, or `offline.reclaim_after` longer",
};

const VALUE_BELOW_PRICE: Said = Said {
    choice: 4,
    what: "an action's `value` per unit is below its price",
    why: "nobody goes on paying more for a run than it brings them.",
    help: "lower the weight or the price of a credit, or check the value",
};

const DEAR_OVERAGE: Said = Said {
    choice: 5,
    what: "a credit of overage costs more than the list price",
    why: "buyers feel punished for growing, and ration use just when it is worth most.",
    help: "charge the list price or less",
};

const ENDLESS_ROLLOVER: Said = Said {
    choice: 6,
    what: "rollover never ends",
    why: "what never ends is a debt of service that only grows.",
    help: "give it a number of `times` and a time that it `lasts`",
};

const OUTLIVES_TERM: Said = Said {
    choice: 8,
    what: "credits of a pack outlive the term",
    why: "service is owed after the contract that priced it has ended.",
    help: "let the pack last no longer than the term",
};

const LIFO: Said = Said {
    choice: 10,
    what: "the newest credits burn first",
    why: "the oldest credits wait until they expire, and buyers lose what they paid for.",
    help: "use `fefo`",
};

const INCENTIVE_ROLLS: Said = Said {
    choice: 13,
    what: "incentives roll over",
    why: "an incentive rewards a behaviour now; what can be kept rewards nothing.",
    help: "let them lapse: leave `incentive` out",
};

const INCENTIVE_LASTS: Said = Said {
    choice: 13,
    what: "an incentive lasts more than 90 days",
    why: "past 90 days an incentive is a price cut that nobody remembers getting.",
    help: "let it last 90 days at most",
};

const NO_CAP: Said = Said {
    choice: 14,
    what: "the plan has no cap of any kind",
    why: "one runaway agent can spend the whole balance before anyone looks.",
    help: "add `caps: [{name: runaway, per: run, limit: 50}]`",
};

const NO_ALERT: Said = Said {
    choice: 14,
    what: "the plan has no alert of any kind",
    why: "buyers learn that their credits are gone from a run that is refused.",
    help: "add `alerts: [{name: low, balance_below: 20%}]`",
};
