//! `bursar release`: gives a reservation back unused.

use clap::Args;

use super::connection::SidecarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;
use crate::grpc::proto::v1;

#[derive(Clone, Debug, Args)]
pub struct ReleaseArgs {
    /// The reservation's handle
    #[arg(value_name = "HANDLE")]
    reservation: String,

    /// Makes the call idempotent
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    #[command(flatten)]
    to: SidecarArgs,
}

impl ReleaseArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let request = v1::ReleaseRequest { reservation: self.reservation, request_id: self.request_id };
        screen.answer(&self.to.connect().await?.release(request).await?)?;
        Ok(Exit::Success)
    }
}
