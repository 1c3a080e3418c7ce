//! `bursar reservation`: what a resumed worker asks first.

use clap::{Args, Subcommand};

use super::connection::SidecarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::pages::PageArgs;
use super::screen::Screen;
use super::table;
use crate::grpc::proto::v1;

#[derive(Clone, Debug, Subcommand)]
pub enum ReservationCommand {
    /// One run, by its handle or by account and request id
    Get(GetArgs),
    /// The open runs of an account or of a run id
    List(ListArgs),
}

#[derive(Clone, Debug, Args)]
pub struct GetArgs {
    /// The reservation's handle
    #[arg(value_name = "HANDLE", required_unless_present = "request_id", conflicts_with = "request_id")]
    reservation: Option<String>,

    /// The request id that the run was authorised or recorded with
    #[arg(long, value_name = "ID", requires = "account")]
    request_id: Option<String>,

    /// The account, where the run is looked up by its request id
    #[arg(long, requires = "request_id")]
    account: Option<String>,

    #[command(flatten)]
    to: SidecarArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Of this account
    #[arg(required_unless_present = "run_id")]
    account: Option<String>,

    /// Of this run id
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,

    #[command(flatten)]
    pages: PageArgs,

    #[command(flatten)]
    to: SidecarArgs,
}

const COLUMNS: [&str; 8] =
    ["account", "action", "state", "held", "charged", "run_id", "expires_at", "reservation"];

impl ReservationCommand {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        match self {
            Self::Get(args) => args.run(screen).await,
            Self::List(args) => args.run(screen).await,
        }
    }
}

impl GetArgs {
    async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let request = v1::GetReservationRequest {
            reservation: self.reservation.unwrap_or_default(),
            account: self.account.unwrap_or_default(),
            request_id: self.request_id.unwrap_or_default(),
        };
        let answer = self.to.connect().await?.reservation(request).await?;
        screen.answer_as(&answer, |value| value.get("run").map(table::fields).unwrap_or_default())?;
        Ok(Exit::Success)
    }
}

impl ListArgs {
    async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut sidecar = self.to.connect().await?;
        let request = v1::ListReservationsRequest {
            account: self.account.unwrap_or_default(),
            run_id: self.run_id.unwrap_or_default(),
            ..v1::ListReservationsRequest::default()
        };
        let mut all = v1::ListReservationsResponse::default();
        let mut page = self.pages.start();
        while let Some((page_size, page_token)) = page.next() {
            let request = v1::ListReservationsRequest { page_size, page_token, ..request.clone() };
            let answer = sidecar.reservations(request).await?;
            page.took(answer.runs.len(), &answer.next_page_token);
            all.runs.extend(answer.runs);
        }
        all.next_page_token = page.rest(screen);
        screen.answer_as(&all, |value| table::rows(&COLUMNS, table::list(value, "runs")))?;
        Ok(Exit::Success)
    }
}
