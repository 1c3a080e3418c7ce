//! `bursar audit verify`

use super::command::JournalArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::VerifyRequest;

impl JournalArgs {
    pub(super) async fn verify(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let answer = ledger.verify(VerifyRequest { account: self.account }).await?;
        screen.answer(&answer)?;
        Ok(if answer.whole { Exit::Success } else { Exit::Failure })
    }
}
