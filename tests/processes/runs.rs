//! Operations about runs, each asked of a sidecar.

use bursar::grpc::proto::v1;
use bursar::scenario::file;
use bursar::scenario::operation::{Keys, Unread};
use bursar::scenario::value::Reply;
use bursar::types::Length;

use crate::site::{Processes, Run};
use crate::words::{
    Done, answered, by_species, duration, list, map, number, owned, result, say_words, settled, subject, word,
};

impl Processes<'_> {
    pub fn authorize(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
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

    pub fn progress(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
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

    pub fn commit(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
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

    pub fn release(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::ReleaseRequest { reservation: self.run(keys)?.handle, ..Default::default() };
        let mut client = self.client(sidecar)?;
        let answer = answered(self.runtime.block_on(client.release(request)))?;
        let state = answer.state();
        Ok(settled(state, "0", &answer.charged, &answer.debt, &answer.paid_by))
    }

    pub fn record(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
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

    pub fn state(&mut self, sidecar: &str, keys: &Keys<'_>) -> Done {
        let request = v1::GetReservationRequest { reservation: self.run(keys)?.handle, ..Default::default() };
        let mut client = self.client(sidecar)?;
        let run = answered(self.runtime.block_on(client.get_reservation(request)))?.run.unwrap_or_default();
        Ok(settled(run.state(), &run.held, &run.charged, &run.debt, &run.paid_by))
    }

    pub fn run(&self, keys: &Keys<'_>) -> Result<Run, Unread> {
        let name = keys.wanted("run")?;
        let run = self.runs.get(name).ok_or_else(|| format!("no step is named `{name}`"))?;
        if run.handle.is_empty() {
            return Err(Unread::Wrong(format!("`{name}` was not authorised: it has no reservation")));
        }
        Ok(run.clone())
    }

    pub fn handle(&self, keys: &Keys<'_>, key: &str) -> Result<String, Unread> {
        let Some(name) = keys.text(key) else { return Ok(String::new()) };
        let run = self.runs.get(name).ok_or_else(|| format!("`{key}`: no step is named `{name}`"))?;
        if run.handle.is_empty() {
            return Err(Unread::Wrong(format!("`{key}`: `{name}` was not authorised: it has no handle")));
        }
        Ok(run.handle.clone())
    }

    pub fn name(&mut self, keys: &Keys<'_>, handle: &str) {
        if let Some(name) = keys.text("as") {
            self.runs
                .insert(name.to_owned(), Run { account: owned(keys, "account"), handle: handle.to_owned() });
        }
    }
}
