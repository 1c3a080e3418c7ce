//! `bursar progress`: the heartbeat of a long run.

use std::time::Duration;

use clap::Args;

use super::connection::SidecarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::read;
use super::screen::Screen;
use super::usage::Units;
use crate::grpc::client::wire_duration;
use crate::grpc::proto::v1;

#[derive(Clone, Debug, Args)]
pub struct ProgressArgs {
    /// The reservation's handle
    #[arg(value_name = "HANDLE")]
    reservation: String,

    #[command(flatten)]
    units: Units,

    /// Units beyond the totals that the run is to hold, for an action with one meter
    #[arg(long, value_name = "N", conflicts_with = "ahead_quantities", allow_hyphen_values = true)]
    ahead: Option<String>,

    /// The same by meter, for an action with several
    #[arg(long, value_name = "METER=N,…", value_delimiter = ',', value_parser = read::pair)]
    ahead_quantities: Vec<(String, String)>,

    /// How long the reservation lives from now [default: as before]
    #[arg(long, value_name = "TIME", value_parser = read::span)]
    ttl: Option<Duration>,

    /// Makes the call idempotent
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    #[command(flatten)]
    to: SidecarArgs,
}

impl ProgressArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let request = v1::ProgressRequest {
            quantity: self.units.quantity.clone(),
            quantities: self.units.quantities(),
            reservation: self.reservation,
            ahead: self.ahead,
            ahead_quantities: self.ahead_quantities.into_iter().collect(),
            ttl: self.ttl.map(wire_duration),
            request_id: self.request_id,
        };
        let answer = self.to.connect().await?.progress(request).await?;
        screen.answer(&answer)?;
        Ok(if answer.decision() == v1::Decision::Denied { Exit::Denied } else { Exit::Success })
    }
}
