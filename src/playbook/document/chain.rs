//! The overage chain as written.

use crate::playbook::finding::{At, Findings, why};
use crate::playbook::overage::{Prices, Tier};
use crate::playbook::read::Cursor;
use crate::playbook::scalar::{Portion, TIMES};
use crate::playbook::shape::chain as shape;
use crate::types::calendar::Every;
use crate::types::{Credits, Name};

/// The most links of a chain; each kind may stand once.
pub const LINKS_MAX: usize = 4;

/// The most tiers of a volume price.
pub const TIERS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    TopUp {
        pack: At<Name>,
        /// Fires below so many credits.
        below: Option<At<Credits>>,
        /// Packs per period.
        at_most: Option<At<u32>>,
    },
    Borrow {
        /// Of the next period's allowance, or credits.
        up_to: At<Portion>,
    },
    Soft {
        up_to: Option<At<Credits>>,
        per_user: Option<At<Credits>>,
        price: Option<At<Prices>>,
    },
    Degraded {
        credits: Option<At<Credits>>,
        every: Option<At<Every>>,
    },
}

impl Link {
    pub fn word(&self) -> &'static str {
        match self {
            Self::TopUp { .. } => "top_up",
            Self::Borrow { .. } => "borrow",
            Self::Soft { .. } => "soft",
            Self::Degraded { .. } => "degraded",
        }
    }
}

pub fn read(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<At<Link>> {
    let mut chain: Vec<At<Link>> = Vec::new();
    for item in cursor.items(f, LINKS_MAX) {
        let Some(link) = link(&item, f) else { continue };
        if chain.iter().any(|earlier| earlier.value.word() == link.value.word()) {
            let problem = format!("`{}` stands twice in the chain", link.value.word());
            let help = "keep one of each kind; volume prices go into one `soft`";
            f.error_because(&link.place, problem, why::TWICE, help);
        }
        chain.push(link);
    }
    chain
}

fn link(item: &Cursor<'_>, f: &mut Findings) -> Option<At<Link>> {
    let before = f.refused();
    let fields = item.fields(f, &shape::LINK)?;
    let [kind] = fields.present(shape::LINK.one_of)[..] else {
        // A word that is no link was refused as such, and names the nearest one.
        if f.refused() > before {
            return None;
        }
        let problem =
            "a link of the chain is a map with exactly one of `top_up`, `borrow`, `soft`, `degraded`";
        f.error(item.place(), problem, "write each link as a list item of its own: `- soft: {up_to: 2000}`");
        return None;
    };
    let cursor = fields.get(kind)?;
    let link = match kind {
        "top_up" => top_up(&cursor, f),
        "borrow" => borrow(&cursor, f),
        "soft" => soft(&cursor, f),
        _ => degraded(&cursor, f),
    };
    link.map(|link| cursor.at(link))
}

fn top_up(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Link> {
    let fields = cursor.fields(f, &shape::TOP_UP)?;
    let Some(named) = fields.get("pack") else {
        if fields.is_meant("pack") {
            return None;
        }
        let why = "a top-up buys a pack at the pack's price; without one there is nothing to buy.";
        f.error_because(
            cursor.place(),
            "`top_up` names no pack",
            why,
            "add `pack: small`, one of `on_demand.packs`",
        );
        return None;
    };
    let pack = named.name(f);
    let below = fields.get("below").and_then(|c| c.amount(f));
    let at_most = fields.get("at_most").and_then(|c| c.whole(f, 0));
    Some(Link::TopUp { pack: pack?, below, at_most })
}

fn borrow(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Link> {
    let fields = cursor.fields(f, &shape::BORROW)?;
    let up_to = fields.require(f, "up_to", "20%").and_then(|c| c.portion(f, true))?;
    Some(Link::Borrow { up_to })
}

fn soft(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Link> {
    let fields = cursor.fields(f, &shape::SOFT)?;
    Some(Link::Soft {
        up_to: fields.get("up_to").and_then(|c| c.amount(f)),
        per_user: fields.get("per_user").and_then(|c| c.amount(f)),
        price: fields.get("price").and_then(|c| prices(&c, f)),
    })
}

fn degraded(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Link> {
    let fields = cursor.fields(f, &shape::DEGRADED)?;
    let credits = fields.get("credits");
    // Free of charge there is nothing that could start anew.
    if credits.is_some() {
        fields.require(f, "every", "day");
    } else if let Some(every) = fields.get("every") {
        f.error_because(
            every.place(),
            "without `credits` degraded use is free of charge, and nothing starts anew",
            why::IDLE,
            "add `credits: 100`, or leave `every` out",
        );
    }
    Some(Link::Degraded {
        credits: credits.and_then(|c| c.amount(f)),
        every: fields.get("every").and_then(|c| c.every(f, TIMES)),
    })
}

/// A price per credit, or tiers: all but the last end somewhere, each later than the one before.
fn prices(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Prices>> {
    if !cursor.is_list() {
        return cursor.amount(f).map(|price| price.with(Prices::flat(price.value)));
    }
    let before = f.refused();
    let items = cursor.items(f, TIERS_MAX);
    let mut tiers: Vec<Tier> = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let Some(fields) = item.fields(f, &shape::TIER) else { continue };
        let at = fields.require(f, "at", "0.10").and_then(|c| c.amount(f));
        let up_to: Option<At<Credits>> = fields.get("up_to").and_then(|c| c.amount(f));
        let last = n + 1 == items.len();
        if last != fields.get("up_to").is_none() {
            let problem = if last { "the last tier has an end" } else { "only the last tier has no end" };
            let why = "each credit of overage has one price: no gap, no overlap, no end.";
            f.error_because(item.place(), problem, why, "give each tier but the last its `up_to`");
        }
        if let Some(end) = &up_to
            && tiers.last().and_then(|tier| tier.up_to).unwrap_or_default() >= end.value
        {
            let problem = format!("this tier ends at `{}`, which is not after the one before", end.value);
            let why = "a tier that ends before it begins prices nothing.";
            f.error_because(&end.place, problem, why, "order the tiers by where they end");
        }
        tiers.extend(at.map(|at| Tier { up_to: up_to.map(|end| end.value), at: at.value }));
    }
    if items.is_empty() && f.refused() == before {
        f.error(
            cursor.place(),
            "a volume price has no tier",
            "write a price, or `[{up_to: 500, at: 0.12}, {at: 0.10}]`",
        );
    }
    (f.refused() == before).then(|| cursor.at(Prices(tiers)))
}
