//! What `bursar dev` says once it is ready: for programs one line, for people what to paste next.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::sample::Sample;
use crate::config::DevConfig;
use crate::grpc::listen::Listening;
use crate::grpc::proto::ledger_v1::Account;

/// Everything is up.
#[derive(Debug)]
pub struct Ready<'a> {
    pub listening: &'a Listening,
    pub ledger: SocketAddr,
    pub account: &'a Account,
    pub sample: &'a Sample,
    pub config: &'a DevConfig,
}

impl Ready<'_> {
    pub fn json(&self) -> Value {
        json!({
            "ready": true,
            "socket": self.listening.socket,
            "address": self.listening.tcp.map(|address| address.to_string()),
            "ledger": format!("http://{}", self.ledger),
            "account": self.account.account,
        })
    }

    pub fn people(&self) -> String {
        let (account, action, data) = (&self.account.account, &self.sample.action, &self.config.data_dir);
        let (ledger, bursar) = (self.ledger, program());
        let plan = &self.account.plan;
        let version = self.account.playbook_version;
        let endpoint = self.endpoint();
        let mut text = format!(
            "Ledger and sidecar are ready. What they know is in `{}`; delete it to start anew. Ctrl-C stops both.\n\n\
             sidecar  {endpoint}\n",
            data.display()
        );
        if let (Some(address), Some(_)) = (self.listening.tcp, &self.listening.socket) {
            text += &format!("         http://{address}\n");
        }
        text += &format!(
            "ledger   http://{ledger}\naccount  {account}, on plan {plan} of playbook version {version}\n\n"
        );
        text += &format!(
            "In a second terminal, a first run:\n\n  \
             export BURSAR_SIDECAR={endpoint} BURSAR_LEDGER=http://{ledger}\n  \
             run=$({bursar} authorize {account} {action} --handle)\n  \
             {bursar} commit \"$run\"\n  \
             {bursar} account balance {account}\n"
        );
        if let Some(address) = self.listening.tcp {
            text += &format!(
                "\nThe same question with grpcurl:\n\n  \
                 grpcurl -plaintext -d '{{\"account\": \"{account}\", \"action\": \"{action}\"}}' \\\n    \
                 {address} bursar.v1.EntitlementService/Authorize\n"
            );
        }
        text += &format!(
            "\nFrom Python, in the project's directory:\n\n  \
             python3 -m venv .venv && .venv/bin/pip install grpcio-tools\n  \
             .venv/bin/python examples/first_run.py {} {account} {action}\n",
            self.python_target()
        );
        text
    }

    /// As `--sidecar` takes it.
    fn endpoint(&self) -> String {
        match (&self.listening.socket, self.listening.tcp) {
            (Some(socket), _) => format!("unix:{}", socket.display()),
            (None, Some(address)) => format!("http://{address}"),
            (None, None) => String::new(),
        }
    }

    /// As gRPC names it.
    fn python_target(&self) -> String {
        self.endpoint().trim_start_matches("http://").to_owned()
    }
}

/// How this program was called, so that the lines can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "bursar".to_owned())
}
