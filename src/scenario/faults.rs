//! Faults: partitions, crashes, lost disks.

use super::node::{Disk, Node};
use super::runs::Done;
use super::value::Reply;
use super::world::World;
use crate::engine::wallet::Here;

impl World {
    pub fn partition(&mut self, name: &str, cut: bool) -> Done {
        self.existing(name)?.partitioned = cut;
        if !cut {
            self.reconnect(name);
        }
        Ok(Reply::new())
    }

    pub fn crash(&mut self, name: &str, unflushed: usize) -> Done {
        self.existing(name)?.crash(unflushed);
        Ok(Reply::new())
    }

    pub fn restart(&mut self, name: &str) -> Done {
        let here = Here { playbooks: &self.playbooks, at: self.at };
        let node = self.nodes.get_mut(name).ok_or_else(|| unknown(name))?;
        if node.alive {
            return Err(format!("sidecar `{name}` is running").into());
        }
        node.restart(here);
        let (id, epoch) = (node.id, node.epoch);
        let accounts: Vec<_> = node.wallets.keys().cloned().collect();
        if self.nodes.get(name).is_some_and(Node::reachable) {
            for account in accounts {
                if self.accounts.contains_key(&account) {
                    self.at_ledger(&account, |work| work.start(id, epoch));
                }
            }
            self.reconnect(name);
        }
        Ok(Reply::new())
    }

    pub fn lose_disk(&mut self, name: &str) -> Done {
        let id = self.draw_sidecar();
        let node = self.existing(name)?;
        node.crash(0);
        node.disk = Disk::default();
        node.acknowledged = 0;
        // A lost disk is a new sidecar.
        node.id = id;
        Ok(Reply::new())
    }

    fn existing(&mut self, name: &str) -> Result<&mut Node, String> {
        self.nodes.get_mut(name).ok_or_else(|| unknown(name))
    }
}

fn unknown(name: &str) -> String {
    format!("no sidecar is called `{name}`")
}
