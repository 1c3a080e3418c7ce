//! What `bursar dev` sets up at its ledger: a playbook and an account.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::failure::Failure;
use super::playbook::source;
use super::request_id::drawn;
use crate::config::{DevConfig, Endpoint};
use crate::grpc::call_error::CallError;
use crate::grpc::client::{LedgerClient, SidecarClient};
use crate::grpc::listen::Listening;
use crate::grpc::proto::ledger_v1::{
    Account, GetAccountRequest, PlaybookServiceGetRequest, PlaybookServicePublishRequest, SubscribeRequest,
};
use crate::grpc::proto::v1;
use crate::playbook::Playbook;
use crate::playbook::action::{Trigger, Weight};
use crate::runtime::Backoff;

/// The playbook that `dev` publishes where none is named.
const SAMPLE: &str = include_str!("../../examples/support-agent.yaml");

/// The ledger stands in the same process: it answers soon or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two questions to a sidecar that is not online yet: each costs it next to nothing.
const PAUSE_FIRST: Duration = Duration::from_millis(4);
const PAUSE_MOST: Duration = Duration::from_millis(50);

/// A playbook, and what of it the first commands use.
#[derive(Debug)]
pub struct Sample {
    text: String,
    /// A file was named, so it must be what is in force.
    named: bool,
    pub playbook: Playbook,
    pub plan: String,
    /// An action of the plan that a commit charges, with one meter where there is one.
    pub action: String,
    /// One unit of each meter, where the action has several.
    pub quantities: BTreeMap<String, String>,
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
        let quantities = one_of_each(&playbook, &action);
        Ok(Self { text, named: config.playbook.is_some(), plan, action, quantities, playbook })
    }
}

fn one_of_each(playbook: &Playbook, action: &str) -> BTreeMap<String, String> {
    match playbook.actions.get(action).map(|action| &action.terms.weight) {
        Some(Weight::Meters(meters)) => {
            meters.keys().map(|meter| (meter.to_string(), "1".to_owned())).collect()
        }
        Some(Weight::Single(_)) | None => BTreeMap::new(),
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
            request_id: drawn()?,
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
                request_id: drawn()?,
                account,
                ..SubscribeRequest::default()
            };
            let answer = ledger.subscribe(request).await.context("cannot open the account")?;
            answer.account.context("the ledger did not say which account")
        }
        Err(error) => Err(error).context("cannot look at the account"),
    }
}

/// Waits until the sidecar can decide a run of the account: it listens before it has reached its ledger.
pub async fn first_answer(sample: &Sample, account: &Account, at: &Listening) -> anyhow::Result<()> {
    let endpoint = match (at.tcp, &at.socket) {
        (Some(address), _) => Endpoint::Http(address.to_string()),
        (None, Some(socket)) => Endpoint::Unix(socket.clone()),
        (None, None) => anyhow::bail!("the sidecar listens nowhere"),
    };
    let mut sidecar = SidecarClient::connect(&endpoint, PATIENCE).await?;
    let question = v1::AuthorizeRequest {
        account: account.account.clone(),
        action: sample.action.clone(),
        quantities: sample.quantities.clone(),
        validate_only: true,
        ..v1::AuthorizeRequest::default()
    };
    let mut pause = Backoff::new(PAUSE_FIRST, PAUSE_MOST);
    let asked = async {
        loop {
            match sidecar.authorize(question.clone()).await {
                Ok(answer) if answer.connectivity() == v1::Connectivity::Online => return Ok(()),
                Err(error) if !error.is_unavailable() => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(pause.next_wait()).await,
            }
        }
    };
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    answered.context("the sidecar did not reach the ledger in time")?.context("the sidecar does not answer")
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
    fn an_action_with_several_meters_is_asked_for_with_each() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.yaml");
        let text = "bursar: 1\nplaybook: p\nversion: 1\ncredit: {unit: output, price: 1, currency: USD}\n\
                    actions: {llm: {weight: {in: 1, out: 2}}}\nplans: {one: {}}\n";
        std::fs::write(&path, text).unwrap();
        let sample = Sample::read(&config(&[("playbook", path.to_str().unwrap())])).unwrap();
        assert_eq!((sample.plan.as_str(), sample.action.as_str()), ("one", "llm"));
        assert_eq!(sample.quantities.keys().collect::<Vec<_>>(), ["in", "out"]);
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
