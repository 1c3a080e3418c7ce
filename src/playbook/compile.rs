//! From what was written to what it means: every default filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::action::{Action, Terms, When};
use super::addon::AddOn;
use super::alert::{Alert, Condition, Threshold};
use super::allowance::{Allowance, Recurs};
use super::billing::{Commitment, Fee, Term};
use super::document::Document;
use super::document::actions::{self, Keys, Reserve};
use super::document::billing;
use super::document::chain;
use super::document::credits;
use super::document::governance;
use super::document::plan::{self, AllowanceLine, Recurrence};
use super::document::whole;
use super::finding::At;
use super::incentive::Incentive;
use super::meaning::{CreditUnit, Plan, Playbook};
use super::offline::{Emergency, Offline, OfflineMode};
use super::on_demand::{Members, OnDemand, Pack};
use super::overage::{Link, Prices};
use super::pooling::Pooling;
use super::refund::{ChargeRefunds, PurchaseRefunds, Refunds};
use super::rollover::{Roll, Times};
use super::scalar::Portion;
use super::transfer::Transfers;
use crate::types::calendar::Every;
use crate::types::{Length, Money, Name, Percent};

/// How long a reservation lives.
pub const TTL: Length = Length::minutes(15);

/// The most a reservation lives with all its extensions, or its `ttl` where that is longer.
pub const LONGEST: Length = Length::hours(24);

/// How long a reservation awaits its outcome.
pub const OUTCOME_TTL: Length = Length::days(14);

/// `None` where a part that is not optional is missing, or where something is not supported.
pub fn playbook(document: &Document, source: &str) -> Option<Playbook> {
    let credit = document.credit.as_ref()?;
    let credit = CreditUnit {
        scale: value(credit.scale.as_ref()).unwrap_or_default(),
        rounding: value(credit.rounding.as_ref()).unwrap_or_default(),
        price: credit.price.value,
        currency: credit.currency.value.clone(),
    };
    let actions = document
        .actions
        .iter()
        .map(|(name, written)| action(written).map(|action| (name.clone(), action)))
        .collect::<Option<BTreeMap<_, _>>>()?;
    let plans = document
        .plans
        .iter()
        .map(|written| plan(written, &credit).map(|plan| (plan.name.clone(), Arc::new(plan))))
        .collect::<Option<BTreeMap<_, _>>>()?;
    Some(Playbook {
        name: value(document.name.as_ref())?,
        version: value(document.version.as_ref())?,
        effective: value(document.effective.as_ref()),
        notice: value(document.notice.as_ref()),
        grandfather: value(document.grandfather.as_ref()).unwrap_or_default(),
        credit,
        actions,
        plans,
        addons: document.addons.iter().map(|written| (written.name.value.clone(), addon(written))).collect(),
        source: source.into(),
    })
}

fn value<T: Clone>(written: Option<&At<T>>) -> Option<T> {
    written.map(|at| at.value.clone())
}

fn action(written: &actions::Action) -> Option<Action> {
    let entry = |entry: &actions::When| {
        let terms = terms(&entry.keys.over(&written.keys))?;
        Some(When { dimensions: entry.dimensions.clone(), terms })
    };
    Some(Action {
        name: written.name.value.clone(),
        terms: terms(&written.keys)?,
        when: written.when.iter().map(entry).collect::<Option<_>>()?,
    })
}

pub fn terms(keys: &Keys) -> Option<Terms> {
    let none = Reserve { ttl: None, longest: None, outcome_ttl: None };
    let reserve = value(keys.reserve.as_ref()).unwrap_or(none);
    let ttl = ttl(&reserve);
    let longest = if ttl.approximate_micros() > LONGEST.approximate_micros() { ttl } else { LONGEST };
    Some(Terms {
        weight: value(keys.weight.as_ref())?,
        per: value(keys.per.as_ref()).unwrap_or(Decimal::ONE),
        trigger: value(keys.trigger.as_ref()).unwrap_or_default(),
        failure: value(keys.failure.as_ref()).unwrap_or_default(),
        cancelled: value(keys.cancelled.as_ref()).unwrap_or(Percent::FULL),
        partial: value(keys.partial.as_ref()).unwrap_or_default(),
        lapse: value(keys.lapse.as_ref()).unwrap_or_default(),
        retries: value(keys.retries.as_ref()),
        ttl,
        longest: value(reserve.longest.as_ref()).unwrap_or(longest),
        outcome_ttl: value(reserve.outcome_ttl.as_ref()).unwrap_or(OUTCOME_TTL),
        minimum: value(keys.minimum.as_ref()).unwrap_or_default(),
        basic: value(keys.basic.as_ref()).unwrap_or_default(),
        value: value(keys.value.as_ref()),
    })
}

pub fn ttl(reserve: &Reserve) -> Length {
    value(reserve.ttl.as_ref()).unwrap_or(TTL)
}

fn plan(written: &plan::Plan, credit: &CreditUnit) -> Option<Plan> {
    let price = value(written.price.as_ref()).unwrap_or(credit.price);
    let names = |names: &Vec<At<Name>>| names.iter().map(|name| name.value.clone()).collect();
    Some(Plan {
        name: written.name.value.clone(),
        mode: value(written.mode.as_ref()).unwrap_or_default(),
        includes: written.includes.as_ref().map(names),
        price,
        features: written.features.clone(),
        allowances: written.allowance.iter().map(|line| allowance(&line.value)).collect(),
        anchor: value(written.anchor.as_ref()).unwrap_or_default(),
        overage: written.overage.iter().map(|at| link(&at.value, price)).collect(),
        rollover: written.rollover.iter().map(|at| roll(&at.value)).collect(),
        pooling: written.pooling.as_ref().map(|at| pooling(&at.value)).unwrap_or_default(),
        on_demand: written.on_demand.as_ref().map(|at| on_demand(&at.value)).unwrap_or_default(),
        incentives: written
            .incentives
            .iter()
            .map(|(name, line)| (name.value.clone(), incentive(line)))
            .collect(),
        term: written.term.as_ref().map(|at| term(&at.value)),
        fees: written.fee.iter().map(|at| fee(&at.value)).collect(),
        commitment: written.commitment.as_ref().map(|at| commitment(&at.value)),
        refunds: written.refunds.as_ref().map(|at| refunds(&at.value)).unwrap_or_default(),
        draw_order: value(written.draw_order.as_ref()).unwrap_or_default(),
        transfers: written.transfers.as_ref().map(|at| transfers(&at.value)).unwrap_or_default(),
        caps: written.caps.iter().map(|line| line.cap.clone()).collect(),
        alerts: written.alerts.iter().map(alert).collect::<Option<_>>()?,
        offline: offline(written.offline.as_ref())?,
    })
}

fn allowance(line: &AllowanceLine) -> Allowance {
    let recurs = match line.every.value {
        Recurrence::Every(every) => Recurs::Every(every),
        Recurrence::Once => Recurs::Once { lasts: value(line.lasts.as_ref()) },
    };
    Allowance { credits: line.credits.value, recurs }
}

fn addon(written: &whole::AddOn) -> AddOn {
    AddOn {
        name: written.name.value.clone(),
        allowances: written.allowance.iter().map(|line| allowance(&line.value)).collect(),
        features: written.features.clone(),
        fee: written.fee.as_ref().map(|at| fee(&at.value)),
    }
}

fn term(written: &billing::Term) -> Term {
    Term {
        lasts: written.lasts.value,
        renews: value(written.renews.as_ref()).unwrap_or(true),
        unused: value(written.unused.as_ref()).unwrap_or_default(),
    }
}

fn fee(written: &billing::Fee) -> Fee {
    Fee { amount: written.amount.value, every: written.every.value }
}

fn commitment(written: &billing::Commitment) -> Commitment {
    Commitment {
        spend: written.spend.value,
        over: written.over.value,
        discount: value(written.discount.as_ref()).unwrap_or_default(),
    }
}

fn refunds(written: &credits::Refunds) -> Refunds {
    let charges = written
        .charges
        .as_ref()
        .map(|at| ChargeRefunds { within: at.value.within.value, reissue: value(at.value.reissue.as_ref()) });
    let purchases = written.purchases.as_ref().map(|at| PurchaseRefunds {
        within: at.value.within.value,
        rate: value(at.value.rate.as_ref()).unwrap_or(Percent::FULL),
        minimum: value(at.value.minimum.as_ref()).unwrap_or_default(),
        paid_as: value(at.value.paid_as.as_ref()).unwrap_or_default(),
    });
    Refunds { charges, purchases }
}

fn transfers(written: &credits::Transfers) -> Transfers {
    Transfers {
        between: written.between.value,
        by_member: value(written.by_member.as_ref()).unwrap_or_default(),
        limit: value(written.up_to.as_ref()).zip(value(written.every.as_ref())),
    }
}

fn link(written: &chain::Link, plan_price: Money) -> Link {
    match written {
        chain::Link::TopUp { pack, below, at_most } => Link::TopUp {
            pack: pack.value.clone(),
            below: value(below.as_ref()),
            at_most: value(at_most.as_ref()),
        },
        chain::Link::Borrow { up_to } => Link::Borrow { up_to: up_to.value },
        chain::Link::Soft { up_to, per_user, price } => Link::Soft {
            up_to: value(up_to.as_ref()),
            per_user: value(per_user.as_ref()),
            price: value(price.as_ref()).unwrap_or_else(|| Prices::flat(plan_price)),
        },
        // Free of charge, when it starts anew does not matter.
        chain::Link::Degraded { credits, every } => Link::Degraded {
            credits: value(credits.as_ref()),
            every: value(every.as_ref()).unwrap_or(Every::Month),
        },
    }
}

fn roll(written: &credits::Roll) -> Roll {
    Roll {
        species: written.species,
        up_to: value(written.up_to.as_ref()).unwrap_or(Portion::Share(Percent::FULL)),
        times: value(written.times.as_ref()).unwrap_or(Times::Number(1)),
        lasts: value(written.lasts.as_ref()),
    }
}

fn pooling(written: &credits::Pooling) -> Pooling {
    Pooling {
        scope: written.scope.value,
        personal: value(written.personal.as_ref()),
        spend: value(written.spend.as_ref()).unwrap_or_default(),
    }
}

fn on_demand(written: &credits::OnDemand) -> OnDemand {
    let pack = |pack: &credits::Pack| Pack {
        credits: pack.credits.value,
        price: pack.price.value,
        lasts: value(pack.lasts.as_ref()),
    };
    let members = written.buyers.iter().find_map(|buyer| match &buyer.value {
        credits::Buyer::Admin => None,
        credits::Buyer::Member(None) => Some(Members::May),
        credits::Buyer::Member(Some(limit)) => Some(Members::UpTo(limit.up_to.value, limit.every.value)),
    });
    OnDemand {
        packs: written.packs.iter().map(|(name, line)| (name.value.clone(), pack(line))).collect(),
        members: members.unwrap_or_default(),
        landing: value(written.pool.as_ref()).unwrap_or_default(),
    }
}

fn incentive(written: &credits::Incentive) -> Incentive {
    Incentive {
        credits: written.credits.value,
        lasts: value(written.lasts.as_ref()),
        per_user: value(written.per_user.as_ref()),
        per_period: value(written.per_period.as_ref()),
        landing: value(written.pool.as_ref()).unwrap_or_default(),
    }
}

fn alert(written: &governance::Alert) -> Option<Alert> {
    let when = match &written.when.value {
        governance::Condition::BalanceBelow(Portion::Share(share)) => {
            Condition::BalanceBelow(Threshold::Share(*share))
        }
        governance::Condition::BalanceBelow(Portion::Credits(credits)) => {
            Condition::BalanceBelow(Threshold::Credits(*credits))
        }
        governance::Condition::CapReaches { cap, share } => {
            Condition::CapReaches { cap: cap.value.clone(), share: *share }
        }
        governance::Condition::ExpiresWithin { lasts, at_least } => {
            Condition::ExpiresWithin { lasts: *lasts, at_least: at_least.unwrap_or_default() }
        }
        governance::Condition::OverageReaches(Portion::Share(share)) => {
            Condition::OverageReaches(Threshold::Share(*share))
        }
        governance::Condition::OverageReaches(Portion::Credits(credits)) => {
            Condition::OverageReaches(Threshold::Credits(*credits))
        }
        governance::Condition::BurnAbove(times) => Condition::BurnAbove(*times),
    };
    Some(Alert { name: written.name.value.clone(), when })
}

fn offline(written: Option<&At<governance::Offline>>) -> Option<Offline> {
    let defaults = Offline::default();
    let Some(written) = written.map(|at| &at.value) else { return Some(defaults) };
    let mode = match value(written.mode.as_ref()) {
        None | Some(governance::Mode::Deny) => OfflineMode::Deny,
        Some(governance::Mode::Basic) => OfflineMode::Basic,
        Some(governance::Mode::Allow) => OfflineMode::Allow,
        Some(governance::Mode::Emergency) => {
            let emergency = &written.emergency.as_ref()?.value;
            OfflineMode::Emergency(Emergency {
                credits: emergency.credits.value,
                every: emergency.every.value,
            })
        }
    };
    Some(Offline {
        mode,
        lasts: value(written.lasts.as_ref()).unwrap_or(defaults.lasts),
        wait: value(written.wait.as_ref()).unwrap_or(defaults.wait),
        lease: value(written.lease.as_ref()).unwrap_or(defaults.lease),
        reclaim_after: value(written.reclaim_after.as_ref()).unwrap_or(defaults.reclaim_after),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::action::{Partial, Retries, Trigger, Weight};
    use crate::playbook::allowance::Anchor;
    use crate::playbook::cap::{Measure, Scope};
    use crate::playbook::check::load;
    use crate::playbook::draw_order::{DrawOrder, Species};
    use crate::playbook::meaning::{Feature, Mode};
    use crate::playbook::overage::Tier;
    use crate::types::{Credits, Rounding};

    const BARE: &str = "
bursar: 1
playbook: p
version: 1
credit: {unit: output, price: 0.10, currency: USD}
actions: {draft: {weight: 0.10}}
plans: {basic: {}}
";

    const FULL: &str = "
bursar: 1
playbook: support
version: 7
credit: {unit: outcome, scale: 2, rounding: half_even, price: '0.10', currency: EUR}
actions:
  resolve:
    weight: 5
    quantity: ticket
    trigger: outcome
    failure: 15%
    cancelled: none
    partial: {threshold: 50%}
    lapse: full
    retries: {within: 10m, free: 2}
    reserve: {ttl: 36h, outcome_ttl: 7d}
    minimum: 1.5
    value: 12.00
    when:
      - {model: large, tier: 1, weight: 8, reserve: {ttl: 5m, longest: 1h}}
      - {model: large, basic: true}
  llm: {weight: {in: 0.25, out: 1.25}, per: 1000, partial: all_or_nothing}
plans:
  team:
    mode: observe
    includes: [resolve]
    price: 0.09
    features: {sso: true, seats: 25, models: [small, '2']}
    allowance: [{credits: 1000, every: quarter}, {credits: 5.25, every: once, lasts: 14d}]
    anchor: calendar
    overage:
      - soft: {up_to: 2000, price: [{up_to: 500, at: 0.12}, {at: 0.10}]}
      - degraded: {credits: 100, every: day}
    draw_order: [on_demand, subscription]
    caps:
      - {name: a, per: agent, match: 'x-*', limit: 50.5, every: 36h, soft: true}
      - {name: b, per: run, runs: 3}
      - {name: c, per: account, concurrent: 2}
    alerts: [{name: low, balance_below: 20%}, {name: few, balance_below: 7}, {name: near, cap: a, reaches: 80%}]
    offline: {for: 2h, wait: 0s, lease: 30s, reclaim_after: 20m}
  payg: {overage: [{soft: {}}, ]}
  free: {overage: [{degraded: {}}], draw_order: lifo}
";

    fn share(text: &str) -> Percent {
        text.parse().unwrap()
    }

    fn loaded(source: &str) -> Playbook {
        load(source).unwrap_or_else(|report| panic!("{}", report.in_file("p")))
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let playbook = loaded(BARE);
        assert_eq!((playbook.credit.scale, playbook.credit.rounding), (0, Rounding::Up));
        assert_eq!(&*playbook.source, BARE);
        let terms = &playbook.actions["draft"].terms;
        let want = Terms {
            weight: Weight::Single("0.1".parse().unwrap()),
            per: Decimal::ONE,
            trigger: Trigger::Output,
            failure: share("0%"),
            cancelled: share("100%"),
            partial: Partial::Prorate,
            lapse: share("0%"),
            retries: None,
            ttl: Length::minutes(15),
            longest: Length::hours(24),
            outcome_ttl: Length::days(14),
            minimum: Credits::ZERO,
            basic: false,
            value: None,
        };
        assert_eq!(*terms, want);
        let plan = &playbook.plans["basic"];
        assert_eq!(
            (plan.mode, plan.anchor, &plan.draw_order),
            (Mode::Enforce, Anchor::Subscription, &DrawOrder::Fefo)
        );
        assert_eq!((plan.price.to_string().as_str(), plan.offline), ("0.1", Offline::default()));
        assert!(plan.includes.is_none() && plan.allowances.is_empty() && plan.overage.is_empty());
        assert!(plan.features.is_empty() && plan.caps.is_empty() && plan.alerts.is_empty());
    }

    #[test]
    fn an_action_means_what_it_says() {
        let playbook = loaded(FULL);
        assert_eq!((playbook.name.as_str(), playbook.version), ("support", 7));
        assert_eq!((playbook.credit.scale, playbook.credit.rounding), (2, Rounding::HalfEven));
        let resolve = &playbook.actions["resolve"];
        let want = Terms {
            weight: Weight::Single(5.into()),
            per: Decimal::ONE,
            trigger: Trigger::Outcome,
            failure: share("15%"),
            cancelled: share("0%"),
            partial: Partial::Threshold(share("50%")),
            lapse: share("100%"),
            retries: Some(Retries { within: Length::minutes(10), free: 2 }),
            ttl: Length::hours(36),
            longest: Length::hours(36),
            outcome_ttl: Length::days(7),
            minimum: "1.5".parse().unwrap(),
            basic: false,
            value: Some("12".parse().unwrap()),
        };
        assert_eq!(resolve.terms, want);
        let dimensions = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| (Name::parse(k).unwrap(), Name::parse(v).unwrap())).collect()
        };
        let large = Terms {
            weight: Weight::Single(8.into()),
            ttl: Length::minutes(5),
            longest: Length::hours(1),
            outcome_ttl: Length::days(14),
            ..want.clone()
        };
        assert_eq!(*resolve.terms_for(&dimensions(&[("model", "large"), ("tier", "1")])), large);
        assert_eq!(
            *resolve.terms_for(&dimensions(&[("model", "large")])),
            Terms { basic: true, ..want.clone() }
        );
        assert_eq!(*resolve.terms_for(&dimensions(&[("model", "small")])), want);
        let llm = &playbook.actions["llm"].terms;
        assert_eq!((llm.per, llm.partial), (Decimal::ONE_THOUSAND, Partial::AllOrNothing));
        assert!(matches!(&llm.weight, Weight::Meters(meters) if meters.len() == 2));
    }

    #[test]
    fn a_plan_means_what_it_says() {
        let playbook = loaded(FULL);
        let plan = &playbook.plans["team"];
        assert_eq!((plan.mode, plan.anchor), (Mode::Observe, Anchor::Calendar));
        assert!(plan.covers(&Name::parse("resolve").unwrap()) && !plan.covers(&Name::parse("llm").unwrap()));
        assert_eq!(plan.features["seats"], Feature::Number("25".to_owned()));
        let models = vec![Feature::Text("small".to_owned()), Feature::Text("2".to_owned())];
        assert_eq!(plan.features["models"], Feature::List(models));
        let allowances = [
            Allowance { credits: Credits::whole(1000), recurs: Recurs::Every(Every::Quarter) },
            Allowance {
                credits: "5.25".parse().unwrap(),
                recurs: Recurs::Once { lasts: Some(Length::days(14)) },
            },
        ];
        assert_eq!(plan.allowances, allowances);
        let tier =
            |up_to: Option<i64>, at: &str| Tier { up_to: up_to.map(Credits::whole), at: at.parse().unwrap() };
        let chain = [
            Link::Soft {
                per_user: None,
                up_to: Some(Credits::whole(2000)),
                price: Prices(vec![tier(Some(500), "0.12"), tier(None, "0.1")]),
            },
            Link::Degraded { credits: Some(Credits::whole(100)), every: Every::Day },
        ];
        assert_eq!(plan.overage, chain);
        assert_eq!(plan.draw_order, DrawOrder::Species(vec![Species::OnDemand, Species::Subscription]));
        let own_price = Prices::flat("0.1".parse().unwrap());
        assert_eq!(
            playbook.plans["payg"].overage,
            [Link::Soft { up_to: None, per_user: None, price: own_price }]
        );
        assert!(matches!(playbook.plans["free"].overage[..], [Link::Degraded { credits: None, .. }]));
        assert_eq!(playbook.plans["free"].draw_order, DrawOrder::Lifo);
    }

    #[test]
    fn governance_means_what_it_says() {
        let playbook = loaded(FULL);
        let plan = &playbook.plans["team"];
        let window = Some(Every::Length(Length::hours(36)));
        let measures = [
            Measure::Credits { limit: "50.5".parse().unwrap(), window },
            Measure::Runs { limit: 3, window: None },
            Measure::Concurrent { limit: 2 },
        ];
        assert_eq!(plan.caps.iter().map(|cap| cap.measure).collect::<Vec<_>>(), measures);
        let cap = &plan.caps[0];
        assert_eq!(
            (cap.per, cap.soft, cap.matches.as_ref().unwrap().0.as_str()),
            (Scope::Agent, true, "x-*")
        );
        let conditions = [
            Condition::BalanceBelow(Threshold::Share(share("20%"))),
            Condition::BalanceBelow(Threshold::Credits(Credits::whole(7))),
            Condition::CapReaches { cap: Name::parse("a").unwrap(), share: share("80%") },
        ];
        assert_eq!(plan.alerts.iter().map(|alert| alert.when.clone()).collect::<Vec<_>>(), conditions);
        let offline = Offline {
            mode: OfflineMode::Deny,
            lasts: Length::hours(2),
            wait: Length::seconds(0),
            lease: Length::seconds(30),
            reclaim_after: Length::minutes(20),
        };
        assert_eq!(plan.offline, offline);
    }
}
