//! The world as a place where steps are carried out.

use super::file::{self, Step};
use super::operation::{Keys, Unread, Wrong};
use super::runner::Site;
use super::value::{Reply, Value};
use super::world::World;
use crate::engine::account::Command;
use crate::types::Timestamp;

impl Site for World {
    fn now(&self) -> Timestamp {
        self.at
    }

    fn move_to(&mut self, at: Timestamp) -> Result<(), Wrong> {
        Self::move_to(self, at);
        Ok(())
    }

    fn operate(&mut self, sidecar: &str, step: &Step) -> Result<Value, Unread> {
        operate(self, sidecar, step)
    }

    fn deliver(&mut self) -> Result<(), Wrong> {
        Self::deliver(self);
        Ok(())
    }

    fn verify(&self) -> Result<(), String> {
        Self::verify(self)
    }
}

pub(super) fn operate(world: &mut World, node: &str, step: &Step) -> Result<Value, Unread> {
    let keys = Keys::of(&step.body);
    let text = file::text(&step.body).unwrap_or_default();
    let reply: Reply = match step.operation.as_str() {
        "subscribe" => world.subscribe(&keys)?,
        "suspend" => world.switch(&keys, &Command::Suspend)?,
        "resume" => world.switch(&keys, &Command::Resume)?,
        "grant" => world.grant(&keys)?,
        "void" => world.void(&keys)?,
        "purchase" => world.purchase(&keys)?,
        "award" => world.award(&keys)?,
        "allocate" => world.allocate(&keys)?,
        "set_overage_limit" => world.set_overage_limit(&keys)?,
        "change_plan" => world.change_plan(&keys)?,
        "set_seats" => world.set_seats(&keys)?,
        "cancel" => world.cancel(&keys)?,
        "set_cap" => world.set_cap(&keys)?,
        "transfer" => world.transfer(&keys)?,
        "refund" => world.refund(&keys)?,
        "publish" => world.publish(text)?,
        "authorize" => world.authorize(node, &keys)?,
        "progress" => world.progress(node, &keys)?,
        "commit" => world.commit(node, &keys)?,
        "release" => world.release(node, &keys)?,
        "record" => world.record(node, &keys)?,
        "state" => world.state(node, &keys)?,
        "balance" => world.balance(&keys)?,
        "features" => world.features(&keys)?,
        "alerts" => return world.alerts(&keys),
        "invoice" => world.invoice(&keys)?,
        "partition" => world.partition(text, true)?,
        "heal" => world.partition(text, false)?,
        "crash" => {
            let name = if text.is_empty() { keys.wanted("sidecar")? } else { text };
            let unflushed = keys.read::<usize>("unflushed")?.unwrap_or(0);
            world.crash(name, unflushed)?
        }
        "restart" => world.restart(text)?,
        "lose_disk" => world.lose_disk(text)?,
        other => return Err(Unread::Wrong(format!("no operation is called `{other}`"))),
    };
    Ok(Value::Map(reply))
}
