//! A plan as a flat list of what it says.

use super::cap::Measure;
use super::document::chain::Link;
use super::document::credits::{Buyer, Incentive, OnDemand, Roll};
use super::document::governance::{CapLine, Condition, Offline};
use super::document::plan::Plan;
use super::flat::{Flat, Leaf, Sense, endless, word};
use super::overage::Prices;
use super::refund::Reissue;
use super::rollover::{Lasts, Times};
use super::scalar::Portion;
use crate::types::{Credits, Length, Money, Percent};

impl Flat {
    pub fn plan(&mut self, path: &str, plan: &Plan, list: Money) {
        self.groups.insert(path.to_owned());
        let mode = plan.mode.as_ref().map(|mode| mode.value).unwrap_or_default();
        self.put(path, "mode", Leaf::word(format!("{mode:?}").to_lowercase(), Sense::Fixed));
        self.includes(path, plan);
        let price = plan.price.as_ref().map_or(list, |price| price.value);
        self.put(path, "price", Leaf::number(price.decimal(), Sense::Lower).price());
        self.features(path, &plan.features);
        self.allowances(path, &plan.allowance);
        let anchor = plan.anchor.as_ref().map(|anchor| anchor.value).unwrap_or_default();
        self.put(path, "anchor", Leaf::word(format!("{anchor:?}").to_lowercase(), Sense::Fixed));
        self.billing(path, plan);
        for (index, link) in plan.overage.iter().enumerate() {
            self.link(path, index, &link.value, price);
        }
        for roll in &plan.rollover {
            self.roll(&format!("{path}.rollover.{}", roll.value.species), &roll.value);
        }
        let pooling = plan.pooling.as_ref().map(|pooling| &pooling.value);
        let said = pooling.map_or_else(
            || "account".to_owned(),
            |pooling| {
                let scope = format!("{:?}", pooling.scope.value).to_lowercase();
                let personal = pooling.personal.as_ref().map(|personal| shown(personal.value));
                let spend = pooling.spend.as_ref().map(|spend| format!("{:?}", spend.value));
                [Some(scope), personal, spend].into_iter().flatten().collect::<Vec<_>>().join(" ")
            },
        );
        self.put(path, "pooling", Leaf::word(said, Sense::Fixed));
        if let Some(on_demand) = &plan.on_demand {
            self.on_demand(path, &on_demand.value);
        }
        for (name, incentive) in &plan.incentives {
            self.incentive(&format!("{path}.incentives.{}", name.value), incentive);
        }
        self.refunds(path, plan);
        let order = plan.draw_order.as_ref().map(|order| order.value.clone()).unwrap_or_default();
        self.put(path, "draw_order", Leaf::word(format!("{order:?}").to_lowercase(), Sense::Fixed));
        self.transfers(path, plan);
        plan.caps.iter().for_each(|line| self.cap(path, line));
        for alert in &plan.alerts {
            let path = format!("{path}.alerts.{}", alert.name.value);
            self.groups.insert(path.clone());
            self.put(&path, "when", Leaf::word(condition(&alert.when.value), Sense::Fixed));
        }
        self.offline(path, plan.offline.as_ref().map(|offline| &offline.value));
    }

    fn includes(&mut self, path: &str, plan: &Plan) {
        match &plan.includes {
            None => self.put(path, "includes", Leaf::word("all", Sense::Fixed).may(true, false)),
            Some(names) => {
                for name in names {
                    let leaf = Leaf::word("yes", Sense::Fixed).may(true, false);
                    self.put(path, &format!("includes.{}", name.value), leaf);
                }
            }
        }
    }

    fn billing(&mut self, path: &str, plan: &Plan) {
        self.fee(path, plan.fee.as_ref().map(|fee| &fee.value));
        if let Some(term) = &plan.term {
            let renews = term.value.renews.as_ref().is_none_or(|renews| renews.value);
            let unused = term.value.unused.as_ref().map(|unused| unused.value).unwrap_or_default();
            self.put(path, "term.lasts", Leaf::length(term.value.lasts.value, Sense::Fixed));
            self.put(path, "term.renews", Leaf::word(renews, Sense::Fixed));
            self.put(path, "term.unused", Leaf::word(format!("{unused:?}").to_lowercase(), Sense::Fixed));
        }
        if let Some(commitment) = &plan.commitment {
            let commitment = &commitment.value;
            let spend = Leaf::number(commitment.spend.value.decimal(), Sense::Lower).price();
            self.put(path, "commitment.spend", spend.may(false, true));
            let over = Leaf::word(word(commitment.over.value), Sense::Fixed);
            self.put(path, "commitment.over", over.may(false, true));
            let discount = commitment.discount.as_ref().map(|discount| discount.value).unwrap_or_default();
            self.put(path, "commitment.discount", Leaf::percent(discount, Sense::Higher).price());
        }
    }

    fn link(&mut self, path: &str, index: usize, link: &Link, price_of_plan: Money) {
        self.put(path, &format!("overage[{index}]"), Leaf::word(link.word(), Sense::Fixed));
        let path = format!("{path}.overage.{}", link.word());
        let limit = |credits: Option<Credits>| match credits {
            Some(credits) => Leaf::number(credits.decimal(), Sense::Higher),
            None => Leaf::unlimited("without limit", Sense::Higher),
        };
        match link {
            Link::TopUp { pack, below, at_most } => {
                // It buys without asking: more of it costs more.
                self.put(&path, "pack", Leaf::word(&pack.value, Sense::Fixed));
                let below = below.as_ref().map(|below| below.value).unwrap_or_default();
                self.put(&path, "below", Leaf::number(below.decimal(), Sense::Fixed));
                let most = at_most
                    .as_ref()
                    .map_or_else(|| "without limit".to_owned(), |most| most.value.to_string());
                self.put(&path, "at_most", Leaf::word(most, Sense::Fixed));
            }
            Link::Borrow { up_to } => self.put(&path, "up_to", Leaf::portion(up_to.value, Sense::Higher)),
            Link::Soft { up_to, per_user, price } => {
                self.put(&path, "up_to", limit(up_to.as_ref().map(|at| at.value)));
                self.put(&path, "per_user", limit(per_user.as_ref().map(|at| at.value)));
                let flat = Prices::flat(price_of_plan);
                self.prices(&path, price.as_ref().map_or(&flat, |price| &price.value));
            }
            Link::Degraded { credits, every } => {
                self.put(&path, "credits", limit(credits.as_ref().map(|at| at.value)));
                if let Some(every) = every {
                    // Without `credits` the use is free of charge and has no window: both go together.
                    self.put(&path, "every", Leaf::word(word(every.value), Sense::Fixed).may(false, true));
                }
            }
        }
    }

    /// A volume price as what the credits after each boundary cost.
    fn prices(&mut self, path: &str, prices: &Prices) {
        let mut from = Credits::ZERO;
        for tier in &prices.0 {
            let key = format!("price.from_{from}");
            self.put(path, &key, Leaf::number(tier.at.decimal(), Sense::Lower).price());
            from = tier.up_to.unwrap_or(from);
        }
    }

    fn roll(&mut self, path: &str, roll: &Roll) {
        let up_to = roll.up_to.as_ref().map_or(Portion::Share(Percent::FULL), |up_to| up_to.value);
        self.put(path, "up_to", Leaf::portion(up_to, Sense::Higher).may(true, false));
        let times = match roll.times.as_ref().map(|times| times.value) {
            None => Leaf::number(1.into(), Sense::Higher),
            Some(Times::Number(number)) => Leaf::number(number.into(), Sense::Higher),
            Some(Times::Unlimited) => Leaf::unlimited("unlimited", Sense::Higher),
        };
        self.put(path, "times", times.may(true, false));
        let lasts = match roll.lasts.as_ref().map(|lasts| lasts.value) {
            None => Leaf::word("one period", Sense::Fixed),
            Some(Lasts::For(length)) => Leaf::length(length, Sense::Higher),
            Some(Lasts::Forever) => Leaf::unlimited("forever", Sense::Higher),
        };
        self.put(path, "lasts", lasts.may(true, false));
    }

    fn on_demand(&mut self, path: &str, on_demand: &OnDemand) {
        for (name, pack) in &on_demand.packs {
            let path = format!("{path}.on_demand.packs.{}", name.value);
            self.groups.insert(path.clone());
            self.put(&path, "credits", Leaf::number(pack.credits.value.decimal(), Sense::Higher));
            self.put(&path, "price", Leaf::number(pack.price.value.decimal(), Sense::Lower).price());
            self.put(&path, "lasts", endless(pack.lasts.as_ref().map(|lasts| lasts.value)));
        }
        let buyers = on_demand.buyers.iter().map(|buyer| match &buyer.value {
            Buyer::Admin => "admin".to_owned(),
            Buyer::Member(None) => "member".to_owned(),
            Buyer::Member(Some(limit)) => {
                format!("member up to {} every {}", limit.up_to.value, word(limit.every.value))
            }
        });
        let buyers: Vec<String> = buyers.collect();
        let buyers = if buyers.is_empty() { "admin".to_owned() } else { buyers.join(", ") };
        self.put(path, "on_demand.buyers", Leaf::word(buyers, Sense::Fixed).may(true, false));
        let pool = on_demand
            .pool
            .as_ref()
            .map_or_else(|| "account".to_owned(), |pool| format!("{:?}", pool.value).to_lowercase());
        self.put(path, "on_demand.pool", Leaf::word(pool, Sense::Fixed).may(true, false));
    }

    fn incentive(&mut self, path: &str, incentive: &Incentive) {
        self.groups.insert(path.to_owned());
        self.put(path, "credits", Leaf::number(incentive.credits.value.decimal(), Sense::Higher));
        self.put(path, "lasts", endless(incentive.lasts.as_ref().map(|lasts| lasts.value)));
        let awards = match incentive.per_user.as_ref() {
            Some(awards) => Leaf::number(awards.value.into(), Sense::Higher),
            None => Leaf::unlimited("without limit", Sense::Higher),
        };
        self.put(path, "per_user", awards);
        let credits = match incentive.per_period.as_ref() {
            Some(credits) => Leaf::number(credits.value.decimal(), Sense::Higher),
            None => Leaf::unlimited("without limit", Sense::Higher),
        };
        self.put(path, "per_period", credits);
        let pool = incentive
            .pool
            .as_ref()
            .map_or_else(|| "account".to_owned(), |pool| format!("{:?}", pool.value).to_lowercase());
        self.put(path, "pool", Leaf::word(pool, Sense::Fixed));
    }

    fn refunds(&mut self, path: &str, plan: &Plan) {
        let Some(refunds) = &plan.refunds else { return };
        if let Some(charges) = &refunds.value.charges {
            let path = format!("{path}.refunds.charges");
            let within = Leaf::length(charges.value.within.value, Sense::Higher);
            self.put(&path, "within", within.may(true, false));
            let reissue = match charges.value.reissue.as_ref().map(|reissue| reissue.value) {
                None => Leaf::unlimited("forever", Sense::Higher),
                Some(Reissue::For(length)) => Leaf::length(length, Sense::Higher),
                Some(Reissue::Never) => Leaf::length(Length::seconds(0), Sense::Higher),
            };
            self.put(&path, "reissue", reissue.may(true, false));
        }
        if let Some(purchases) = &refunds.value.purchases {
            let path = format!("{path}.refunds.purchases");
            let purchases = &purchases.value;
            let within = Leaf::length(purchases.within.value, Sense::Higher);
            self.put(&path, "within", within.may(true, false));
            let rate = purchases.rate.as_ref().map_or(Percent::FULL, |rate| rate.value);
            self.put(&path, "rate", Leaf::percent(rate, Sense::Higher).may(true, false));
            let minimum = purchases.minimum.as_ref().map(|minimum| minimum.value).unwrap_or_default();
            self.put(&path, "minimum", Leaf::number(minimum.decimal(), Sense::Lower).may(true, false));
            let paid_as = purchases.paid_as.as_ref().map(|paid_as| paid_as.value).unwrap_or_default();
            let word = format!("{paid_as:?}").to_lowercase();
            self.put(&path, "as", Leaf::word(word, Sense::Fixed).may(true, false));
        }
    }

    fn transfers(&mut self, path: &str, plan: &Plan) {
        let Some(transfers) = &plan.transfers else {
            return self.put(path, "transfers", Leaf::word("none", Sense::Fixed));
        };
        let transfers = &transfers.value;
        let by = if transfers.by_member.as_ref().is_some_and(|by| by.value) { "member" } else { "admin" };
        let said = match transfers.between.value {
            super::transfer::Between::None => "none".to_owned(),
            between => format!("between {between:?}, by {by}").to_lowercase(),
        };
        self.put(path, "transfers", Leaf::word(said, Sense::Fixed));
        let limit = match &transfers.up_to {
            Some(up_to) => Leaf::number(up_to.value.decimal(), Sense::Higher),
            None => Leaf::unlimited("without limit", Sense::Higher),
        };
        self.put(path, "transfers.up_to", limit.may(true, true));
        if let Some(every) = &transfers.every {
            self.put(path, "transfers.every", Leaf::word(word(every.value), Sense::Fixed).may(true, true));
        }
    }

    fn cap(&mut self, path: &str, line: &CapLine) {
        let path = format!("{path}.caps.{}", line.name.value);
        let cap = &line.cap;
        self.put(&path, "limit", Leaf::number(cap.limit().decimal(), Sense::Higher));
        let pattern = cap.matches.as_ref().map_or("*", |glob| glob.0.as_str());
        let kind = match cap.measure {
            Measure::Credits { .. } => "credits",
            Measure::Runs { .. } => "runs",
            Measure::Concurrent { .. } => "concurrent",
        };
        let every = cap.window().map(word).unwrap_or_default();
        let per = format!("{:?} {pattern} {kind} {every} soft={}", cap.per, cap.soft).to_lowercase();
        self.put(&path, "per", Leaf::word(per, Sense::Fixed));
    }

    fn offline(&mut self, path: &str, offline: Option<&Offline>) {
        let path = format!("{path}.offline");
        let defaults = super::offline::Offline::default();
        let length =
            |at: Option<&super::finding::At<Length>>, default: Length| at.map_or(default, |at| at.value);
        let mode = offline
            .and_then(|offline| offline.mode.as_ref())
            .map_or_else(|| "deny".to_owned(), |mode| format!("{:?}", mode.value).to_lowercase());
        self.put(&path, "mode", Leaf::word(mode, Sense::Fixed));
        let lasts = length(offline.and_then(|offline| offline.lasts.as_ref()), defaults.lasts);
        self.put(&path, "for", Leaf::length(lasts, Sense::Higher));
        for (key, value, default) in [
            ("wait", offline.and_then(|offline| offline.wait.as_ref()), defaults.wait),
            ("lease", offline.and_then(|offline| offline.lease.as_ref()), defaults.lease),
            (
                "reclaim_after",
                offline.and_then(|offline| offline.reclaim_after.as_ref()),
                defaults.reclaim_after,
            ),
        ] {
            self.put(&path, key, Leaf::length(length(value, default), Sense::Free));
        }
        if let Some(emergency) = offline.and_then(|offline| offline.emergency.as_ref()) {
            let credits = Leaf::number(emergency.value.credits.value.decimal(), Sense::Higher);
            self.put(&path, "emergency.credits", credits);
            let every = Leaf::word(word(emergency.value.every.value), Sense::Fixed);
            self.put(&path, "emergency.every", every);
        }
    }
}

fn shown(portion: Portion) -> String {
    match portion {
        Portion::Share(share) => share.to_string(),
        Portion::Credits(credits) => credits.to_string(),
    }
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::BalanceBelow(portion) => format!("balance_below {}", shown(*portion)),
        Condition::ExpiresWithin { lasts, at_least } => {
            format!("expires_within {lasts}, at_least {}", at_least.unwrap_or_default())
        }
        Condition::CapReaches { cap, share } => format!("cap {} reaches {share}", cap.value),
        Condition::OverageReaches(portion) => format!("overage_reaches {}", shown(*portion)),
        Condition::BurnAbove(times) => format!("burn_above {}x", times.normalize()),
    }
}
