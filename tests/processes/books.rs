//! What the books of an account say: its balance, its features, its alerts, what is billed.

use bursar::grpc::proto::{ledger_v1, v1};
use bursar::scenario::operation::{Keys, Unread};
use bursar::scenario::value::{Reply, Value};
use bursar::types::{Credits, Money, Timestamp};

use crate::site::Processes;
use crate::words::{Done, answered, by_species, number, owned, value};

/// What pages are asked for.
const PAGE: i32 = 1000;

/// Where `alerts` and `invoice` last looked.
#[derive(Default)]
pub struct Looked {
    alerts: usize,
    /// Lines besides the periods' overage.
    lines: usize,
    periods: Vec<Overage>,
}

/// What a period's overage costs so far.
#[derive(Clone)]
struct Overage {
    /// When the period began, in seconds.
    from: i64,
    /// Other lines before it.
    place: usize,
    credits: Credits,
    amount: Money,
}

impl Processes<'_> {
    /// The truth over ledger and sidecars together: the ledger's, with the totals that it was told.
    pub fn balance(&mut self, keys: &Keys<'_>) -> Done {
        let request = ledger_v1::GetBalanceRequest {
            account: keys.wanted("account")?.to_owned(),
            pool: owned(keys, "pool"),
        };
        let answer = answered(self.runtime.block_on(self.accounts.get_balance(request)))?;
        let balance = answer.balance.unwrap_or_default();
        let period_ends = balance.period_ends.map(|at| {
            Timestamp::from_micros(at.seconds * 1_000_000 + i64::from(at.nanos) / 1000).to_string()
        });
        Ok(Reply::from([
            ("available".to_owned(), number(&balance.available)),
            ("held".to_owned(), number(&balance.held)),
            ("spent".to_owned(), number(&balance.spent)),
            ("lapsed".to_owned(), number(&balance.lapsed)),
            ("debt".to_owned(), number(&balance.debt)),
            ("by".to_owned(), by_species(&balance.by)),
            ("overage".to_owned(), number(&balance.overage)),
            ("period_ends".to_owned(), period_ends.unwrap_or_default().into()),
        ]))
    }

    pub fn features(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::GetFeaturesRequest { account: keys.wanted("account")?.to_owned() };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.get_features(request)))?;
        Ok(answer.features.into_iter().map(|(name, feature)| (name, value(feature))).collect())
    }

    /// The alerts raised since the last look.
    pub fn alerts(&mut self, keys: &Keys<'_>) -> Result<Value, Unread> {
        let account = keys.wanted("account")?.to_owned();
        let request =
            ledger_v1::ListAlertsRequest { account: account.clone(), page_size: PAGE, ..Default::default() };
        let alerts = answered(self.runtime.block_on(self.accounts.list_alerts(request)))?.alerts;
        let looked = self.looked.entry(account).or_default();
        let names = alerts.iter().skip(looked.alerts).map(|alert| alert.name.as_str().into()).collect();
        looked.alerts = alerts.len();
        Ok(Value::List(names))
    }

    /// The billing lines since the last look; overage since then is one line, where its first credits were spent.
    pub fn invoice(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.wanted("account")?.to_owned();
        let request = ledger_v1::ListInvoiceLinesRequest {
            account: account.clone(),
            page_size: PAGE,
            ..Default::default()
        };
        let lines = answered(self.runtime.block_on(self.accounts.list_invoice_lines(request)))?.lines;
        let looked = self.looked.entry(account).or_default();
        Ok(Reply::from([("lines".to_owned(), Value::List(looked.at_lines(&lines)))]))
    }
}

impl Looked {
    fn at_lines(&mut self, all: &[ledger_v1::InvoiceLine]) -> Vec<Value> {
        let (mut others, mut periods) = (Vec::new(), Vec::new());
        for line in all {
            let (credits, amount) = (line.credits.parse().unwrap(), line.amount.parse().unwrap());
            if line.kind() == ledger_v1::InvoiceLineKind::Overage {
                let from = line.covers_from.map(|at| at.seconds).unwrap_or_default();
                periods.push(Overage { from, place: others.len(), credits, amount });
            } else {
                others.push((line.kind(), credits, amount));
            }
        }
        let known = self.lines;
        let (mut credits, mut amount, mut place) = self.more(&periods);
        place = place.map(|place| place.max(known));
        (self.lines, self.periods) = (others.len(), periods);
        let mut lines = Vec::new();
        let mut at = None;
        for (index, (kind, of_line, cost)) in others.into_iter().enumerate().skip(known) {
            if at.is_none() && place.is_some_and(|place| place <= index) {
                at = Some(lines.len());
            }
            // A scenario calls what is owed at an account's end overage, too.
            if kind == ledger_v1::InvoiceLineKind::Debt {
                (credits, amount) = (credits + of_line, amount + cost);
                at = at.or(Some(lines.len()));
            } else {
                lines.push(line(kind, of_line, cost));
            }
        }
        if !credits.is_zero() || !amount.is_zero() {
            let overage = line(ledger_v1::InvoiceLineKind::Overage, credits, amount);
            lines.insert(at.unwrap_or(lines.len()), overage);
        }
        lines
    }

    /// By how much overage grew since the last look, and where the first of it stands. What is given back entirely is on
    /// no line any more.
    fn more(&self, now: &[Overage]) -> (Credits, Money, Option<usize>) {
        let (mut credits, mut amount, mut place) = (Credits::ZERO, Money::ZERO, None);
        let gone = self.periods.iter().filter(|seen| now.iter().all(|period| period.from != seen.from));
        let gone = gone.map(|seen| Overage { credits: Credits::ZERO, amount: Money::ZERO, ..seen.clone() });
        let mut periods: Vec<Overage> = now.iter().cloned().chain(gone).collect();
        periods.sort_by_key(|period| period.from);
        for period in periods {
            let seen = self.periods.iter().find(|seen| seen.from == period.from);
            let (before, cost) =
                seen.map_or((Credits::ZERO, Money::ZERO), |seen| (seen.credits, seen.amount));
            if (before, cost) != (period.credits, period.amount) {
                credits += period.credits - before;
                amount += period.amount - cost;
                place = place.or(Some(period.place));
            }
        }
        (credits, amount, place)
    }
}

fn line(kind: ledger_v1::InvoiceLineKind, credits: Credits, amount: Money) -> Value {
    let word = kind.as_str_name().trim_start_matches("INVOICE_LINE_KIND_").to_ascii_lowercase();
    // A scenario says what goes back; on the wire that is below zero.
    let amount = if kind == ledger_v1::InvoiceLineKind::Refund { -amount } else { amount };
    Value::Map(Reply::from([
        ("kind".to_owned(), word.as_str().into()),
        ("credits".to_owned(), credits.into()),
        ("amount".to_owned(), amount.into()),
    ]))
}
