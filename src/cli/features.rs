//! `bursar features`: what the account's plan entitles it to.

use clap::Args;

use super::connection::SidecarArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;
use super::table;
use crate::grpc::proto::v1;

#[derive(Clone, Debug, Args)]
pub struct FeaturesArgs {
    /// The account
    account: String,

    #[command(flatten)]
    to: SidecarArgs,
}

impl FeaturesArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let request = v1::GetFeaturesRequest { account: self.account };
        let answer = self.to.connect().await?.features(request).await?;
        screen.answer_as(&answer, |value| {
            let features = value.get("features").and_then(|features| features.as_object());
            // Here a `false` is an answer, so every feature is shown.
            let lines = features
                .into_iter()
                .flatten()
                .map(|(name, value)| serde_json::json!({ "feature": name, "value": table::words(value) }));
            table::rows(&["feature", "value"], &lines.collect::<Vec<_>>())
        })?;
        Ok(Exit::Success)
    }
}
