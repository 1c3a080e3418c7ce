//! `bursar record`: charges work that was done without a reservation.

use clap::Args;

use super::connection::SidecarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;
use super::usage::{Ending, Units, Who};
use crate::grpc::proto::v1;

#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// The customer who is billed
    account: String,

    /// What is metered, as the playbook names it
    action: String,

    #[command(flatten)]
    units: Units,

    #[command(flatten)]
    who: Who,

    #[command(flatten)]
    ending: Ending,

    /// Makes the call idempotent
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    #[command(flatten)]
    to: SidecarArgs,
}

impl RecordArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let request = v1::RecordRequest {
            subject: self.who.subject(),
            quantity: self.units.quantity.clone(),
            quantities: self.units.quantities(),
            dimensions: self.who.dimensions(),
            account: self.account,
            action: self.action,
            run_id: self.who.run_id,
            parent: self.who.parent,
            retry_of: self.who.retry_of,
            request_id: self.request_id,
            result: self.ending.result.wire(),
            completion: self.ending.completion,
            verified: self.ending.verified,
        };
        screen.answer(&self.to.connect().await?.record(request).await?)?;
        Ok(Exit::Success)
    }
}
