//! Which operation is carried out where.

use bursar::scenario::file::{self, Step};
use bursar::scenario::operation::{Keys, Unread};
use bursar::scenario::value::{Reply, Value};

use crate::site::Processes;

impl Processes<'_> {
    pub fn carry_out(&mut self, sidecar: &str, step: &Step) -> Result<Value, Unread> {
        let keys = &Keys::of(&step.body);
        let text = file::text(&step.body).unwrap_or_default();
        let none = |()| Reply::new();
        let reply = match step.operation.as_str() {
            "subscribe" => self.subscribe(keys)?,
            "suspend" => self.suspend(keys)?,
            "resume" => self.resume(keys)?,
            "change_plan" => self.change_plan(keys)?,
            "set_seats" => self.set_seats(keys)?,
            "cancel" => self.cancel(keys)?,
            "set_cap" => self.set_cap(keys)?,
            "set_overage_limit" => self.set_overage_limit(keys)?,
            "allocate" => self.allocate(keys)?,
            "transfer" => self.transfer(keys)?,
            "purchase" => self.purchase(keys)?,
            "award" => self.award(keys)?,
            "refund" => self.refund(keys)?,
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
    pub fn request_id(&mut self) -> String {
        self.requests += 1;
        format!("step-{}", self.requests)
    }
}
