//! What `bursar dev` sets up at its ledger: a playbook and an account.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::failure::Failure;
use super::playbook::source;
use crate::config::{DevConfig, Endpoint};
use crate::grpc::call_error::CallError;
use crate::grpc::client::LedgerClient;
use crate::grpc::proto::ledger_v1::{
    Account, GetAccountRequest, PlaybookServiceGetRequest, PlaybookServicePublishRequest, SubscribeRequest,
};
use crate::playbook::Playbook;
use crate::playbook::action::{Trigger, Weight};

/// The playbook that `dev` publishes where none is named.
const SAMPLE: &str = include_str!("../../examples/support-agent.yaml");

/// The ledger stands in the same process: it answers soon or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// A playbook, and what of it the first commands use.
#[derive(Debug)]
pub struct Sample {
    text: String,
    /// A file was named, so it must be what is in force.
    named: bool,
    pub playbook: Playbook,
    pub plan: String,
    /// An action of the plan that a commit charges.
    pub action: String,
}

impl Sample {
    /// Reads and checks the playbook that was named, or the sample.
    pub fn read(config: &DevConfig) -> Result<Self, Failure> {
        let (name, text) = match &config.playbook {
            Some(path) => (path.display().to_string(), source(path)?),
            None => ("the sample".to_owned(), SAMPLE.to_owned()),
        };
        let playbook = crate::playbook::load(&text).map_err(|report| {
            Failure::new(format!("the playbook is refused\n{}", report.in_file(&name).to_string().trim_end()))
        })?;
        let first = |section: &str| in_order(&text, section);
        let plan = match &config.plan {
            Some(plan) => plan.to_string(),
            None => first("plans").into_iter().next().unwrap_or_default(),
        };
        let Some(rules) = playbook.plans.get(plan.as_str()) else {
            let what = format!("`{plan}` is no plan of `{}`", playbook.name);
            return Err(Failure::usage(what).help("`--plan NAME` names another"));
        };
        let charged = |name: &String| {
            let action = playbook.actions.get(name.as_str());
            action.is_some_and(|action| {
                let one_meter = matches!(action.terms.weight, Weight::Single(_));
                one_meter && action.terms.trigger == Trigger::Output && rules.covers(&action.name)
            })
        };
        let actions = first("actions");
        let action =
            actions.iter().find(|name| charged(name)).or(actions.first()).cloned().unwrap_or_default();
        Ok(Self { text, named: config.playbook.is_some(), plan, action, playbook })
    }
}

/// Publishes the playbook and opens the account, where that is not done already.
///
/// Without a playbook of its own `dev` leaves what an earlier start or `bursar playbook publish` put in force.
pub async fn set_up(config: &DevConfig, sample: &Sample, ledger: SocketAddr) -> anyhow::Result<Account> {
    let endpoint = Endpoint::Http(ledger.to_string());
    let mut ledger = LedgerClient::connect(&endpoint, PATIENCE).await?;
    if must_publish(&mut ledger, sample).await? {
        let request = PlaybookServicePublishRequest {
            document: sample.text.clone(),
            validate_only: false,
            request_id: format!("dev-publish-{}", sample.playbook.version),
        };
        let publish = ledger.publish(request).await;
        let version = sample.playbook.version;
        publish.with_context(|| {
            format!(
                "cannot publish version {version}; raise `version` in it, or delete `{}` to start anew",
                config.data_dir.display()
            )
        })?;
    }
    let account = config.account.to_string();
    match ledger.account(GetAccountRequest { account: account.clone() }).await {
        Ok(answer) => answer.account.context("the ledger did not say which account"),
        Err(error) if error.reason == "ACCOUNT_UNKNOWN" => {
            let request = SubscribeRequest {
                plan: sample.plan.clone(),
                request_id: format!("dev-subscribe-{account}"),
                account,
                ..SubscribeRequest::default()
            };
            let answer = ledger.subscribe(request).await.context("cannot open the account")?;
            answer.account.context("the ledger did not say which account")
        }
        Err(error) => Err(error).context("cannot look at the account"),
    }
}

async fn must_publish(ledger: &mut LedgerClient, sample: &Sample) -> Result<bool, CallError> {
    match ledger.playbook(PlaybookServiceGetRequest { version: 0 }).await {
        Ok(in_force) => Ok(sample.named && in_force.document != sample.text),
        Err(error) if error.reason == "PLAYBOOK_UNKNOWN" => Ok(true),
        Err(error) => Err(error),
    }
}

/// The names in one section of a document that was checked, as they were written one after the other.
fn in_order(text: &str, section: &str) -> Vec<String> {
    let document: Value = serde_saphyr::from_str(text).unwrap_or_default();
    let names = document.get(section).and_then(Value::as_object);
    names.map(|names| names.keys().cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn config(flags: &[(&'static str, &str)]) -> DevConfig {
        let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        load(&Sources { flags, ..Sources::default() }).unwrap().config
    }

    #[test]
    fn the_sample_is_sound_and_has_something_to_ask_for() {
        let sample = Sample::read(&config(&[])).unwrap();
        assert_eq!((sample.plan.as_str(), sample.action.as_str()), ("team", "ticket.answer"));
    }

    #[test]
    fn a_plan_that_is_none_is_refused() {
        let failure = Sample::read(&config(&[("plan", "gold")])).unwrap_err();
        assert!(failure.to_string().contains("`gold`"), "{failure}");
    }

    #[test]
    fn names_come_in_the_order_of_the_document() {
        assert_eq!(in_order("plans: {team: {}, basic: {}}", "plans"), ["team", "basic"]);
        assert!(in_order("plans: []", "plans").is_empty());
    }
}
