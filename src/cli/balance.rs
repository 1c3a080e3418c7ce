//! `bursar balance`: what is left, as a sidecar knows it or as the ledger does.

use clap::Args;
use serde_json::Value;

use super::connection::{LEDGER_ENV, LedgerTrust, SidecarArgs, connect_ledger};
use super::exit::Exit;
use super::failure::Failure;
use super::read;
use super::screen::Screen;
use super::table;
use crate::config::Endpoint;
use crate::grpc::client::LedgerClient;
use crate::grpc::proto::{ledger_v1, v1};

#[derive(Clone, Debug, Args)]
pub struct BalanceArgs {
    /// The account
    account: String,

    /// `account`, `team:T` or `user:U` [default: all pools together]
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,

    /// Asks the ledger instead; without a URL the one that BURSAR_LEDGER names, else http://127.0.0.1:7400
    #[arg(long, value_name = "URL", num_args = 0..=1, value_parser = read::endpoint)]
    ledger: Option<Option<Endpoint>>,

    #[command(flatten)]
    trust: LedgerTrust,

    #[command(flatten)]
    to: SidecarArgs,
}

const CAP_COLUMNS: [&str; 8] = ["cap", "per", "name", "limit", "used", "left", "soft", "window_ends"];

impl BalanceArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        if let Some(named) = self.ledger {
            let named = named.map_or_else(ledger_of_environment, |endpoint| Ok(Some(endpoint)))?;
            let mut ledger = connect_ledger(named.as_ref(), &self.trust, self.to.patience).await?;
            return at_ledger(&mut ledger, self.account, self.pool, screen).await;
        }
        let request = v1::GetBalanceRequest { account: self.account, pool: self.pool };
        let answer = self.to.connect().await?.balance(request).await?;
        screen.answer_as(&answer, people)?;
        Ok(Exit::Success)
    }
}

/// The true balance, over ledger and leases together.
pub async fn at_ledger(
    ledger: &mut LedgerClient,
    account: String,
    pool: String,
    screen: Screen,
) -> Result<Exit, Failure> {
    let answer = ledger.balance(ledger_v1::GetBalanceRequest { account, pool }).await?;
    screen.answer_as(&answer, |value| {
        let mut flat = value.get("balance").cloned().unwrap_or_default();
        for field in ["leased", "out_of_reach"] {
            if let (Some(flat), Some(value)) = (flat.as_object_mut(), value.get(field)) {
                flat.insert(field.to_owned(), value.clone());
            }
        }
        people(&flat)
    })?;
    Ok(Exit::Success)
}

fn ledger_of_environment() -> Result<Option<Endpoint>, Failure> {
    let given = std::env::var(LEDGER_ENV).ok();
    let wrong = |what| Failure::usage(format!("`{LEDGER_ENV}` {what}"));
    given.map(|text| read::endpoint(&text).map_err(wrong)).transpose()
}

/// The figures, then one line per counter of a cap.
fn people(value: &Value) -> String {
    let mut figures = value.clone();
    let caps = figures.as_object_mut().and_then(|fields| fields.remove("caps")).unwrap_or_default();
    match caps.as_array().filter(|caps| !caps.is_empty()) {
        Some(caps) => format!("{}\n\n{}", table::fields(&figures), table::rows(&CAP_COLUMNS, caps)),
        None => table::fields(&figures),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_come_before_caps() {
        let value =
            json!({"available": "9", "caps": [{"cap": "daily", "limit": "10", "used": "1", "left": "9"}]});
        let shown = people(&value);
        assert!(shown.starts_with("available  9\n\nCAP"), "{shown}");
        assert!(shown.contains("daily"));
        assert_eq!(people(&json!({"available": "9", "caps": []})), "available  9");
    }
}
