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
        let account = &self.account;
        let (plan, version) = (&account.plan, account.playbook_version);
        let mut text = format!(
            "Ledger and sidecar are ready. What they know is in `{}`; delete it to start anew. Ctrl-C stops both.\n\n\
             sidecar  {}\n",
            self.config.data_dir.display(),
            self.endpoint()
        );
        if let (Some(address), Some(_)) = (self.listening.tcp, &self.listening.socket) {
            text += &format!("         http://{address}\n");
        }
        let (ledger, name) = (self.ledger, &account.account);
        text += &format!(
            "ledger   http://{ledger}\naccount  {name}, on plan {plan} of playbook version {version}\n"
        );
        text + &self.commands()
    }

    fn commands(&self) -> String {
        let (bursar, account, action) =
            (quoted(&program()), quoted(&self.account.account), quoted(&self.sample.action));
        let endpoint = quoted(&self.endpoint());
        let mut text = format!(
            "\nIn a second terminal, a first run:\n\n  \
             export BURSAR_SIDECAR={endpoint} BURSAR_LEDGER=http://{}\n  \
             run=$({bursar} authorize {account} {action}{} --handle)\n  \
             {bursar} commit \"$run\"\n  \
             {bursar} account balance {account}\n",
            self.ledger,
            self.units()
        );
        if let Some(address) = self.listening.tcp {
            let quantities = &self.sample.quantities;
            let mut question = json!({ "account": self.account.account, "action": self.sample.action });
            if let Some(question) = question.as_object_mut().filter(|_| !quantities.is_empty()) {
                question.insert("quantities".to_owned(), json!(quantities));
            }
            text += &format!(
                "\nThe same question with grpcurl:\n\n  \
                 grpcurl -plaintext -d {} \\\n    {address} bursar.v1.EntitlementService/Authorize\n",
                quoted(&question.to_string())
            );
        }
        // The example asks for one unit of the action's one meter.
        if !self.sample.quantities.is_empty() {
            return text;
        }
        text += &format!(
            "\nFrom Python, in the project's directory:\n\n  \
             python3 -m venv .venv && .venv/bin/pip install grpcio-tools\n  \
             .venv/bin/python examples/first_run.py {} {account} {action}\n",
            quoted(self.endpoint().trim_start_matches("http://"))
        );
        text
    }

    /// A flag with the quantities, where the action has several meters.
    fn units(&self) -> String {
        let quantities = self.sample.quantities.iter().map(|(meter, units)| format!("{meter}={units}"));
        let quantities = quantities.collect::<Vec<_>>().join(",");
        if quantities.is_empty() { String::new() } else { format!(" --quantities {}", quoted(&quantities)) }
    }

    /// As `--sidecar` takes it.
    fn endpoint(&self) -> String {
        match (&self.listening.socket, self.listening.tcp) {
            (Some(socket), _) => format!("unix:{}", socket.display()),
            (None, Some(address)) => format!("http://{address}"),
            (None, None) => String::new(),
        }
    }
}

/// How this program was called, so that the lines can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "bursar".to_owned())
}

/// A word for a shell, as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@[]=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_is_one_word() {
        assert_eq!(quoted("unix:/run/bursar.sock"), "unix:/run/bursar.sock");
        assert_eq!(quoted(r#"{"account": "it's"}"#), r#"'{"account": "it'\''s"}'"#);
        assert_eq!(quoted(""), "''");
    }
}
