//! `bursar commit`: a run's result and total use.

use clap::Args;

use super::connection::SidecarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;
use super::usage::{Ending, Units};
use crate::grpc::proto::v1;

#[derive(Clone, Debug, Args)]
pub struct CommitArgs {
    /// The reservation's handle
    #[arg(value_name = "HANDLE")]
    reservation: String,

    /// Total use; left out, it is what `progress` reported last, else what was reserved
    #[command(flatten)]
    units: Units,

    #[command(flatten)]
    ending: Ending,

    /// Makes the call idempotent
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    #[command(flatten)]
    to: SidecarArgs,
}

impl CommitArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let request = v1::CommitRequest {
            quantity: self.units.quantity.clone(),
            quantities: self.units.quantities(),
            reservation: self.reservation,
            result: self.ending.result.wire(),
            completion: self.ending.completion,
            verified: self.ending.verified,
            request_id: self.request_id,
        };
        screen.answer(&self.to.connect().await?.commit(request).await?)?;
        Ok(Exit::Success)
    }
}
