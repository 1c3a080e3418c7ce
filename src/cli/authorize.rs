//! `bursar authorize`: may this run proceed?

use std::time::Duration;

use clap::Args;

use super::connection::SidecarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::read;
use super::screen::Screen;
use super::table;
use super::usage::{Units, Who};
use crate::grpc::client::wire_duration;
use crate::grpc::proto::v1;

#[derive(Clone, Debug, Args)]
pub struct AuthorizeArgs {
    /// The customer who is billed
    account: String,

    /// What is metered, as the playbook names it
    action: String,

    #[command(flatten)]
    units: Units,

    #[command(flatten)]
    who: Who,

    /// Makes the call idempotent: the same id with the same request returns the first answer
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    /// How long the reservation lives [default: the action's `reserve.ttl`]
    #[arg(long, value_name = "TIME", value_parser = read::span)]
    ttl: Option<Duration>,

    /// Decides without reserving: a check or a quote
    #[arg(long)]
    validate_only: bool,

    /// Shows the trail of rules that led to the decision
    #[arg(long)]
    explain: bool,

    /// Prints the handle and nothing else, for `run=$(bursar authorize … --handle)`
    #[arg(long, conflicts_with_all = ["validate_only", "explain"])]
    handle: bool,

    #[command(flatten)]
    to: SidecarArgs,
}

impl AuthorizeArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let handle_only = self.handle && !screen.json;
        let answer = self.to.connect().await?.authorize(self.request()).await?;
        let denied = answer.decision() == v1::Decision::Denied;
        match (handle_only, denied) {
            (true, true) => screen.say(&refusal(&answer)),
            (true, false) => screen.print(&answer.reservation)?,
            (false, _) => screen.answer_as(&answer, |value| {
                let mut value = value.clone();
                let trail = value.as_object_mut().and_then(|fields| fields.remove("explanation"));
                let steps =
                    trail.as_ref().and_then(|trail| trail.as_array()).filter(|steps| !steps.is_empty());
                match steps {
                    Some(steps) => {
                        format!("{}\n\n{}", table::fields(&value), table::rows(&["rule", "finding"], steps))
                    }
                    None => table::fields(&value),
                }
            })?,
        }
        Ok(if denied { Exit::Denied } else { Exit::Success })
    }

    fn request(&self) -> v1::AuthorizeRequest {
        v1::AuthorizeRequest {
            account: self.account.clone(),
            subject: self.who.subject(),
            action: self.action.clone(),
            quantity: self.units.quantity.clone(),
            quantities: self.units.quantities(),
            dimensions: self.who.dimensions(),
            run_id: self.who.run_id.clone(),
            parent: self.who.parent.clone(),
            retry_of: self.who.retry_of.clone(),
            request_id: self.request_id.clone(),
            ttl: self.ttl.map(wire_duration),
            validate_only: self.validate_only,
            explain: self.explain,
        }
    }
}

/// Why, in one line.
fn refusal(answer: &v1::AuthorizeResponse) -> String {
    let reason = answer.reason().as_str_name().trim_start_matches("REASON_").to_owned();
    if answer.cap.is_empty() {
        format!("denied: {reason}")
    } else {
        format!("denied: {reason} ({})", answer.cap)
    }
}
