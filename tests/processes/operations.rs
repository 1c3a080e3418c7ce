//! A step's keys as messages, and the answers as replies.

use std::collections::BTreeMap;

use bursar::grpc::proto::{ledger_v1, v1};
use bursar::scenario::file::{self, Step};
use bursar::scenario::operation::{Keys, Unread};
use bursar::scenario::value::{Reply, Value};
use bursar::types::{Credits, Length, Money, Timestamp};
use tonic::{Response, Status};
use tonic_types::StatusExt;

use crate::site::{Processes, Run};

type Done = Result<Reply, Unread>;

/// What pages are asked for.
const PAGE: i32 = 1000;

impl Processes<'_> {
    pub fn carry_out(&mut self, sidecar: &str, step: &Step) -> Result<Value, Unread> {
        let keys = &Keys::of(&step.body);
        let text = file::text(&step.body).unwrap_or_default();
        let none = |()| Reply::new();
        let reply = match step.operation.as_str() {
            "subscribe" | "suspend" | "resume" | "set_overage_limit" => {
                self.administer(&step.operation, keys)?
            }
            "grant" => self.grant(keys)?,
            "void" => self.void(keys)?,
            "publish" => self.publish(text)?,
            "authorize" => self.authorize(sidecar, keys)?,
            "progress" => self.progress(sidecar, keys)?,
            "commit" => self.commit(sidecar, keys)?,
            "release" => self.release(sidecar, keys)?,
            "record" => self.record(sidecar, keys)?,
            "state" => self.state(sidecar, keys)?,
            "balance" => self.balance(keys)?,
            "features" => self.features(sidecar, keys)?,
            "alerts" => return self.alerts(keys),
            "invoice" => self.invoice(keys)?,
            "partition" => self.partition(text, true).map(none)?,
            "heal" => self.partition(text, false).map(none)?,
            "crash" => self.crash(if text.is_empty() { keys.wanted("sidecar")? } else { text }).map(none)?,
            "restart" => self.restart(text).map(none)?,
            "lose_disk" => self.lose_disk(text).map(none)?,
            other => return Err(Unread::Wrong(format!("no operation is called `{other}`"))),
        };
        Ok(Value::Map(reply))
    }

    /// An id that no other request has.
    fn request_id(&mut self) -> String {
        self.requests += 1;
        format!("step-{}", self.requests)
    }

    fn administer(&mut self, operation: &str, keys: &Keys<'_>) -> Done {
        let (account, request_id) = (keys.wanted("account")?.to_owned(), self.request_id());
        let accounts = &mut self.accounts;
        let done = self.runtime.block_on(async {
            Ok::<_, Status>(match operation {
                "subscribe" => {
                    let plan = keys.text("plan").unwrap_or_default().to_owned();
                    let request =
                        ledger_v1::SubscribeRequest { account, plan, request_id, ..Default::default() };
                    accounts.subscribe(request).await?.into_inner().account
                }
                "suspend" => {
                    let request = ledger_v1::SuspendRequest { account, request_id, ..Default::default() };
                    accounts.suspend(request).await?.into_inner().account
                }
                "resume" => {
                    let request = ledger_v1::ResumeRequest { account, request_id, ..Default::default() };
                    accounts.resume(request).await?.into_inner().account
                }
                _ => {
                    let credits = keys.text("credits").map(str::to_owned);
                    let request = ledger_v1::SetOverageLimitRequest {
                        account,
                        credits,
                        request_id,
                        ..Default::default()
                    };
                    accounts.set_overage_limit(request).await?.into_inner().account
                }
            })
        });
        done.map(|_| Reply::new()).map_err(refused)
    }

    fn grant(&mut self, keys: &Keys<'_>) -> Done {
        let length = |key| Ok::<_, String>(keys.read::<Length>(key)?.map(duration));
        let request = ledger_v1::GrantRequest {
            account: keys.wanted("account")?.to_owned(),
            credits: owned(keys, "credits"),
            species: owned(keys, "species"),
            starts_in: length("starts")?,
            lasts: length("lasts")?,
            priority: keys.read("priority")?.unwrap_or(0),
            pool: owned(keys, "pool"),
            price: keys.text("price").map(str::to_owned),
            request_id: self.request_id(),
            ..Default::default()
        };
        let granted = answered(self.runtime.block_on(self.accounts.grant(request)))?;
        if let Some(name) = keys.text("as") {
            self.grants.insert(name.to_owned(), granted.grant);
        }
        Ok(Reply::new())
    }

    fn void(&mut self, keys: &Keys<'_>) -> Done {
        let name = keys.wanted("grant")?;
        let grant = *self.grants.get(name).ok_or_else(|| format!("no grant is named `{name}`"))?;
        let account = keys.wanted("account")?.to_owned();
        let request =
            ledger_v1::VoidRequest { account, grant, request_id: self.request_id(), ..Default::default() };
        let voided = answered(self.runtime.block_on(self.accounts.void(request)))?;
        Ok(Reply::from([("credits".to_owned(), number(&voided.credits))]))
    }

    pub fn publish(&mut self, document: &str) -> Done {
        let (document, request_id) = (document.to_owned(), self.request_id());
        let request = ledger_v1::PlaybookServicePublishRequest { document, request_id, ..Default::default() };
        answered(self.runtime.block_on(self.playbooks.publish(request))).map(|_| Reply::new())
    }

    fn authorize(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::AuthorizeRequest {
            account: keys.wanted("account")?.to_owned(),
            subject: Some(subject(keys)),
            action: owned(keys, "action"),
            quantity: keys.text("quantity").map(str::to_owned),
            quantities: map(keys, "quantities"),
            dimensions: map(keys, "dimensions"),
            run_id: owned(keys, "run_id"),
            parent: self.handle(keys, "parent")?,
            retry_of: self.handle(keys, "retry_of")?,
            request_id: owned(keys, "request_id"),
            ttl: keys.read::<Length>("ttl")?.map(duration),
            validate_only: keys.flag("validate_only")?,
            explain: false,
        };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.authorize(request)))?;
        self.name(keys, &answer.reservation);
        let mut reply = Reply::from([
            ("decision".to_owned(), word(answer.decision().as_str_name(), "DECISION_")),
            ("cap".to_owned(), answer.cap.as_str().into()),
            ("held".to_owned(), number(&answer.held)),
            ("charged".to_owned(), number(&answer.charged)),
            ("paid_by".to_owned(), by_species(&answer.paid_by)),
            ("final".to_owned(), answer.r#final.into()),
            ("soft_caps_reached".to_owned(), list(&answer.soft_caps_reached)),
            ("enforced".to_owned(), answer.enforced.into()),
        ]);
        let words = [
            ("reason", answer.reason().as_str_name(), "REASON_"),
            ("would_be_decision", answer.would_be_decision().as_str_name(), "DECISION_"),
            ("would_be_reason", answer.would_be_reason().as_str_name(), "REASON_"),
        ];
        say_words(&mut reply, words);
        Ok(reply)
    }

    fn progress(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let ahead = keys.node("ahead").filter(|node| file::map(node).is_none()).and_then(file::text);
        let request = v1::ProgressRequest {
            reservation: self.run(keys)?.handle,
            quantity: keys.text("quantity").map(str::to_owned),
            quantities: map(keys, "quantities"),
            ahead: ahead.map(str::to_owned),
            ahead_quantities: map(keys, "ahead"),
            ttl: keys.read::<Length>("ttl")?.map(duration),
            request_id: owned(keys, "request_id"),
        };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.progress(request)))?;
        let mut reply = Reply::from([
            ("held".to_owned(), number(&answer.held)),
            ("charged".to_owned(), number(&answer.charged)),
        ]);
        let words = [
            ("state", answer.state().as_str_name(), "STATE_"),
            ("decision", answer.decision().as_str_name(), "DECISION_"),
            ("reason", answer.reason().as_str_name(), "REASON_"),
        ];
        say_words(&mut reply, words);
        Ok(reply)
    }

    fn commit(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::CommitRequest {
            reservation: self.run(keys)?.handle,
            result: result(keys)?,
            quantity: keys.text("quantity").map(str::to_owned),
            quantities: map(keys, "quantities"),
            completion: keys.text("completion").map(str::to_owned),
            verified: keys.flag("verified")?,
            request_id: owned(keys, "request_id"),
        };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.commit(request)))?;
        let state = answer.state();
        Ok(settled(state, &answer.held, &answer.charged, &answer.debt, &answer.paid_by))
    }

    fn release(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::ReleaseRequest { reservation: self.run(keys)?.handle, ..Default::default() };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.release(request)))?;
        let state = answer.state();
        Ok(settled(state, "0", &answer.charged, &answer.debt, &answer.paid_by))
    }

    fn record(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::RecordRequest {
            account: keys.wanted("account")?.to_owned(),
            subject: Some(subject(keys)),
            action: owned(keys, "action"),
            quantity: keys.text("quantity").map(str::to_owned),
            quantities: map(keys, "quantities"),
            dimensions: map(keys, "dimensions"),
            run_id: owned(keys, "run_id"),
            parent: self.handle(keys, "parent")?,
            retry_of: self.handle(keys, "retry_of")?,
            request_id: owned(keys, "request_id"),
            result: result(keys)?,
            completion: keys.text("completion").map(str::to_owned),
            verified: keys.flag("verified")?,
        };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.record(request)))?;
        self.name(keys, &answer.reservation);
        let state = answer.state();
        Ok(settled(state, &answer.held, &answer.charged, &answer.debt, &answer.paid_by))
    }

    fn state(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::GetReservationRequest { reservation: self.run(keys)?.handle, ..Default::default() };
        let mut client = self.client(sidecar)?;
        let run = answered(self.runtime.block_on(client.get_reservation(request)))?.run.unwrap_or_default();
        Ok(settled(run.state(), &run.held, &run.charged, &run.debt, &run.paid_by))
    }

    /// The truth over ledger and sidecars together: the ledger's, with the totals that it was told.
    fn balance(&mut self, keys: &Keys<'_>) -> Done {
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

    fn features(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::GetFeaturesRequest { account: keys.wanted("account")?.to_owned() };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.get_features(request)))?;
        Ok(answer.features.into_iter().map(|(name, feature)| (name, value(feature))).collect())
    }

    /// The alerts raised since the last look.
    fn alerts(&mut self, keys: &Keys<'_>) -> Result<Value, Unread> {
        let account = keys.wanted("account")?.to_owned();
        let request =
            ledger_v1::ListAlertsRequest { account: account.clone(), page_size: PAGE, ..Default::default() };
        let alerts = answered(self.runtime.block_on(self.accounts.list_alerts(request)))?.alerts;
        let looked = self.looked.entry(account).or_default();
        let names = alerts.iter().skip(looked.0).map(|alert| alert.name.as_str().into()).collect();
        looked.0 = alerts.len();
        Ok(Value::List(names))
    }

    /// The billing lines since the last look; overage since then is one line.
    fn invoice(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.wanted("account")?.to_owned();
        let request = ledger_v1::ListInvoiceLinesRequest {
            account: account.clone(),
            page_size: PAGE,
            ..Default::default()
        };
        let lines = answered(self.runtime.block_on(self.accounts.list_invoice_lines(request)))?.lines;
        let overage = lines.iter().filter(|line| line.kind() == ledger_v1::InvoiceLineKind::Overage);
        let (mut credits, mut amount) = (Credits::ZERO, Money::ZERO);
        for line in overage {
            credits += line.credits.parse::<Credits>().unwrap();
            amount += line.amount.parse::<Money>().unwrap();
        }
        let looked = self.looked.entry(account).or_default();
        let (more, cost) = (credits - looked.1, amount - looked.2);
        (looked.1, looked.2) = (credits, amount);
        let line = Value::Map(Reply::from([
            ("kind".to_owned(), "overage".into()),
            ("credits".to_owned(), more.into()),
            ("amount".to_owned(), cost.into()),
        ]));
        let lines = if more.is_zero() && cost.is_zero() { Vec::new() } else { vec![line] };
        Ok(Reply::from([("lines".to_owned(), Value::List(lines))]))
    }

    fn run(&self, keys: &Keys<'_>) -> Result<Run, Unread> {
        let name = keys.wanted("run")?;
        let run = self.runs.get(name).ok_or_else(|| format!("no step is named `{name}`"))?;
        if run.handle.is_empty() {
            return Err(Unread::Wrong(format!("`{name}` was not authorised: it has no reservation")));
        }
        Ok(run.clone())
    }

    fn handle(&self, keys: &Keys<'_>, key: &str) -> Result<String, Unread> {
        let Some(name) = keys.text(key) else { return Ok(String::new()) };
        let run = self.runs.get(name).ok_or_else(|| format!("`{key}`: no step is named `{name}`"))?;
        if run.handle.is_empty() {
            return Err(Unread::Wrong(format!("`{key}`: `{name}` was not authorised: it has no handle")));
        }
        Ok(run.handle.clone())
    }

    fn name(&mut self, keys: &Keys<'_>, handle: &str) {
        if let Some(name) = keys.text("as") {
            self.runs.insert(name.to_owned(), Run { handle: handle.to_owned() });
        }
    }
}

fn settled(
    state: v1::State,
    held: &str,
    charged: &str,
    debt: &str,
    paid_by: &BTreeMap<String, String>,
) -> Reply {
    Reply::from([
        ("state".to_owned(), word(state.as_str_name(), "STATE_")),
        ("held".to_owned(), number(held)),
        ("charged".to_owned(), number(charged)),
        ("debt".to_owned(), number(debt)),
        ("paid_by".to_owned(), by_species(paid_by)),
    ])
}

fn answered<T>(answer: Result<Response<T>, Status>) -> Result<T, Unread> {
    answer.map(Response::into_inner).map_err(refused)
}

fn refused(status: Status) -> Unread {
    let details = status.get_error_details();
    match details.error_info() {
        Some(info) => Unread::of(&info.reason),
        None => Unread::Wrong(format!("{status:?}")),
    }
}

fn owned(keys: &Keys<'_>, key: &str) -> String {
    keys.text(key).unwrap_or_default().to_owned()
}

fn map(keys: &Keys<'_>, key: &str) -> BTreeMap<String, String> {
    let entries = keys.node(key).and_then(file::map).unwrap_or_default();
    let text = |node| file::text(node).unwrap_or_default().to_owned();
    entries.iter().map(|entry| (entry.key.clone(), text(&entry.value))).collect()
}

fn subject(keys: &Keys<'_>) -> v1::Subject {
    v1::Subject { team: owned(keys, "team"), user: owned(keys, "user"), agent: owned(keys, "agent") }
}

fn result(keys: &Keys<'_>) -> Result<i32, Unread> {
    let word = keys.text("result").unwrap_or("SUCCEEDED");
    let result = v1::RunResult::from_str_name(&format!("RUN_RESULT_{word}"));
    Ok(result.ok_or_else(|| format!("`result`: no result is called `{word}`"))?.into())
}

fn duration(length: Length) -> prost_types::Duration {
    let micros = length.approximate_micros();
    let nanos = i32::try_from(micros % 1_000_000 * 1000).unwrap();
    prost_types::Duration { seconds: micros / 1_000_000, nanos }
}

fn number(text: &str) -> Value {
    text.parse().map_or_else(|_| text.into(), Value::Number)
}

fn word(name: &str, prefix: &str) -> Value {
    name.strip_prefix(prefix).unwrap_or(name).into()
}

/// What is unspecified was not said.
fn say_words<const N: usize>(reply: &mut Reply, words: [(&str, &str, &str); N]) {
    for (key, name, prefix) in words {
        if !name.ends_with("_UNSPECIFIED") {
            reply.insert(key.to_owned(), word(name, prefix));
        }
    }
}

fn by_species(parts: &BTreeMap<String, String>) -> Value {
    Value::Map(parts.iter().map(|(species, amount)| (species.clone(), number(amount))).collect())
}

fn list(words: &[String]) -> Value {
    Value::List(words.iter().map(|word| word.as_str().into()).collect())
}

fn value(feature: prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match feature.kind {
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::NumberValue(figure)) => number(&figure.to_string()),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(items)) => Value::List(items.values.into_iter().map(value).collect()),
        Some(Kind::StructValue(fields)) => {
            let fields: BTreeMap<_, _> = fields.fields.into_iter().collect();
            Value::Map(fields.into_iter().map(|(key, field)| (key, value(field))).collect())
        }
        Some(Kind::NullValue(_)) | None => "".into(),
    }
}
