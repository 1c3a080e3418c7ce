//! What becomes of credits, as written: rollover, pooling, packs, refunds, transfers and incentives.

use crate::playbook::draw_order::Species;
use crate::playbook::finding::{At, Findings, why};
use crate::playbook::on_demand::Landing;
use crate::playbook::pooling::{PoolScope, Spend};
use crate::playbook::read::Cursor;
use crate::playbook::refund::{PaidAs, Reissue};
use crate::playbook::rollover::{Lasts, Times};
use crate::playbook::scalar::{PERIODS, Portion};
use crate::playbook::shape::credits as shape;
use crate::playbook::transfer::Between;
use crate::types::calendar::Every;
use crate::types::{Credits, Length, Money, Name, Percent};

/// The most packs, and the most incentives, of a plan.
pub const PACKS_MAX: usize = 1_000;

/// C6: how unused credits of one species roll.
#[derive(Clone, Debug, PartialEq)]
pub struct Roll {
    pub species: Species,
    pub up_to: Option<At<Portion>>,
    pub times: Option<At<Times>>,
    pub lasts: Option<At<Lasts>>,
}

/// C7.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooling {
    pub scope: At<PoolScope>,
    /// Credits per seat, or a percentage of an equal share.
    pub personal: Option<At<Portion>>,
    pub spend: Option<At<Spend>>,
}

/// C8.
#[derive(Clone, Debug, PartialEq)]
pub struct OnDemand {
    pub packs: Vec<(At<Name>, Pack)>,
    pub buyers: Vec<At<Buyer>>,
    pub pool: Option<At<Landing>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    pub credits: At<Credits>,
    pub price: At<Money>,
    /// `None` = does not expire.
    pub lasts: Option<At<Length>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Buyer {
    Admin,
    /// Each member, within a limit where there is one.
    Member(Option<BuyerLimit>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct BuyerLimit {
    pub up_to: At<Credits>,
    pub every: At<Every>,
}

/// C9.
#[derive(Clone, Debug, PartialEq)]
pub struct Refunds {
    pub charges: Option<At<ChargeRefunds>>,
    pub purchases: Option<At<PurchaseRefunds>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ChargeRefunds {
    pub within: At<Length>,
    pub reissue: Option<At<Reissue>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PurchaseRefunds {
    pub within: At<Length>,
    pub rate: Option<At<Percent>>,
    pub minimum: Option<At<Credits>>,
    pub paid_as: Option<At<PaidAs>>,
}

/// C11.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfers {
    pub between: At<Between>,
    pub by_member: Option<At<bool>>,
    pub up_to: Option<At<Credits>>,
    pub every: Option<At<Every>>,
}

/// C13.
#[derive(Clone, Debug, PartialEq)]
pub struct Incentive {
    pub credits: At<Credits>,
    pub lasts: Option<At<Length>>,
    /// Awards, ever.
    pub per_user: Option<At<u32>>,
    /// Credits over all users.
    pub per_period: Option<At<Credits>>,
    pub pool: Option<At<Landing>>,
}

const LANDINGS: &[(&str, Landing)] = &[("account", Landing::Account), ("personal", Landing::Personal)];

pub fn rollover(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<At<Roll>> {
    let Some(fields) = cursor.fields(f, &shape::ROLLOVER) else { return Vec::new() };
    let mut rolls = Vec::new();
    for word in shape::ROLLOVER.names() {
        let (Some(species), Some(cursor)) = (Species::from_word(word), fields.get(word)) else { continue };
        let Some(fields) = cursor.fields(f, &shape::ROLL_RULE) else { continue };
        let up_to = fields.get("up_to").and_then(|c| c.portion(f, false));
        let times = fields.get("times").and_then(|c| times(&c, f));
        let lasts = fields.get("lasts").and_then(|c| c.length_or(f, &[("forever", Lasts::Forever)]));
        rolls.push(cursor.at(Roll { species, up_to, times, lasts }));
    }
    rolls
}

fn times(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Times>> {
    if cursor.raw().is_some_and(|(text, _)| text == "unlimited") {
        return Some(cursor.at(Times::Unlimited));
    }
    cursor.whole(f, 1).map(|number| number.with(Times::Number(number.value)))
}

pub fn pooling(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Pooling>> {
    let fields = cursor.fields(f, &shape::POOLING)?;
    let scopes = [("account", PoolScope::Account), ("team", PoolScope::Team), ("hybrid", PoolScope::Hybrid)];
    let scope = fields.require(f, "scope", "team").and_then(|c| c.word(f, &scopes));
    let personal = fields.get("personal").and_then(|c| c.portion(f, true));
    let spend = fields.get("spend").and_then(|c| {
        c.word(f, &[("personal_first", Spend::PersonalFirst), ("pool_first", Spend::PoolFirst)])
    });
    let scope = scope?;
    if scope.value != PoolScope::Hybrid {
        for key in ["personal", "spend"] {
            if let Some(stray) = fields.get(key) {
                let problem = format!("`{key}` has no effect unless the scope is `hybrid`");
                f.error_because(stray.place(), problem, why::IDLE, "write `scope: hybrid`, or leave it out");
            }
        }
    }
    Some(cursor.at(Pooling { scope, personal, spend }))
}

pub fn on_demand(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<OnDemand>> {
    let fields = cursor.fields(f, &shape::ON_DEMAND)?;
    let mut packs = Vec::new();
    if let Some(shelf) = fields.require(f, "packs", "{small: {credits: 1000, price: 120.00}}") {
        for (name, cursor) in shelf.named(f, PACKS_MAX) {
            packs.extend(pack(&cursor, f).map(|pack| (name, pack)));
        }
    }
    let buyers = fields.get("buyers").map(|c| buyers(&c, f)).unwrap_or_default();
    let pool = fields.get("pool").and_then(|c| c.word(f, LANDINGS));
    Some(cursor.at(OnDemand { packs, buyers, pool }))
}

fn pack(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Pack> {
    let fields = cursor.fields(f, &shape::PACK)?;
    let credits = fields.require(f, "credits", "1000").and_then(|c| c.amount(f));
    if let Some(nothing) = credits.as_ref().filter(|credits: &&At<Credits>| credits.value.is_zero()) {
        let why = "whoever buys it pays for nothing, and a top-up would never be done buying it.";
        f.error_because(
            &nothing.place,
            "a pack of no credits",
            why,
            "write a number above zero, such as `1000`",
        );
    }
    let price = fields.require(f, "price", "120.00").and_then(|c| c.amount(f));
    let lasts = fields.get("lasts").and_then(|c| c.length(f));
    Some(Pack { credits: credits?, price: price?, lasts })
}

/// A word, a list of words and maps, or a map `{member: {up_to, every}}`.
fn buyers(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<At<Buyer>> {
    let mut buyers = Vec::new();
    for item in cursor.items_or_one(f, 2) {
        if !item.is_map() {
            let words = [("admin", Buyer::Admin), ("member", Buyer::Member(None))];
            buyers.extend(item.word_also(f, &words, "or `{member: {up_to: 500, every: month}}`"));
            continue;
        }
        let Some(fields) = item.fields(f, &shape::MEMBER) else { continue };
        let Some(member) = fields.require(f, "member", "{up_to: 500, every: month}") else { continue };
        let Some(fields) = member.fields(f, &shape::BUYER_LIMIT) else { continue };
        let up_to = fields.require(f, "up_to", "500").and_then(|c| c.amount(f));
        let every = fields.require(f, "every", "month").and_then(|c| c.every(f, PERIODS));
        if let (Some(up_to), Some(every)) = (up_to, every) {
            buyers.push(member.at(Buyer::Member(Some(BuyerLimit { up_to, every }))));
        }
    }
    buyers
}

pub fn refunds(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Refunds>> {
    let fields = cursor.fields(f, &shape::REFUNDS)?;
    let charges = fields.get("charges").and_then(|c| charge_refunds(&c, f));
    let purchases = fields.get("purchases").and_then(|c| purchase_refunds(&c, f));
    Some(cursor.at(Refunds { charges, purchases }))
}

fn charge_refunds(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<ChargeRefunds>> {
    let fields = cursor.fields(f, &shape::CHARGE_REFUNDS)?;
    let within = fields.require(f, "within", "30d").and_then(|c| c.length(f));
    let reissue = fields.get("reissue").and_then(|c| c.length_or(f, &[("never", Reissue::Never)]));
    Some(cursor.at(ChargeRefunds { within: within?, reissue }))
}

fn purchase_refunds(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<PurchaseRefunds>> {
    let fields = cursor.fields(f, &shape::PURCHASE_REFUNDS)?;
    let within = fields.require(f, "within", "14d").and_then(|c| c.length(f));
    let rate = fields.get("rate").and_then(|c| c.percent(f, true));
    let minimum = fields.get("minimum").and_then(|c| c.amount(f));
    let paid_as =
        fields.get("as").and_then(|c| c.word(f, &[("money", PaidAs::Money), ("credit", PaidAs::Credit)]));
    Some(cursor.at(PurchaseRefunds { within: within?, rate, minimum, paid_as }))
}

pub fn transfers(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Transfers>> {
    let fields = cursor.fields(f, &shape::TRANSFERS)?;
    let between = fields.get("between").map_or_else(
        || Some(cursor.at(Between::None)),
        |c| {
            let words = [("none", Between::None), ("pools", Between::Pools), ("accounts", Between::Accounts)];
            c.word(f, &words)
        },
    );
    let by_member = fields.get("by").and_then(|c| c.word(f, &[("admin", false), ("member", true)]));
    let up_to = fields.get("up_to").and_then(|c| c.amount(f));
    let every = fields.get("every").and_then(|c| c.every(f, PERIODS));
    match (fields.get("up_to"), fields.get("every")) {
        (Some(_), None) => {
            fields.require(f, "every", "month");
        }
        (None, Some(stray)) => {
            f.error_because(
                stray.place(),
                "`every` has no effect without `up_to`",
                why::IDLE,
                "add `up_to: 1000`, or leave it out",
            );
        }
        _ => {}
    }
    Some(cursor.at(Transfers { between: between?, by_member, up_to, every }))
}

pub fn incentives(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<(At<Name>, Incentive)> {
    let mut incentives = Vec::new();
    for (name, cursor) in cursor.named(f, PACKS_MAX) {
        incentives.extend(incentive(&cursor, f).map(|incentive| (name, incentive)));
    }
    incentives
}

fn incentive(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Incentive> {
    let fields = cursor.fields(f, &shape::INCENTIVE)?;
    let credits = fields.require(f, "credits", "50").and_then(|c| c.amount(f));
    if let Some(nothing) = credits.as_ref().filter(|credits: &&At<Credits>| credits.value.is_zero()) {
        let why = "nobody could be awarded it: each award would be refused.";
        let help = "write a number above zero, such as `50`";
        f.error_because(&nothing.place, "an incentive of no credits", why, help);
    }
    Some(Incentive {
        credits: credits?,
        lasts: fields.get("lasts").and_then(|c| c.length(f)),
        per_user: fields.get("per_user").and_then(|c| c.whole(f, 1)),
        per_period: fields.get("per_period").and_then(|c| c.amount(f)),
        pool: fields.get("pool").and_then(|c| c.word(f, LANDINGS)),
    })
}
