//! What a run is about and how much it used: flags that several commands share.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use super::read;
use crate::grpc::proto::v1;

/// Who causes a run, and what for.
#[derive(Clone, Debug, Args)]
pub struct Who {
    /// The team that the user acts for
    #[arg(long, default_value = "", hide_default_value = true)]
    pub team: String,

    /// The person
    #[arg(long, default_value = "", hide_default_value = true)]
    pub user: String,

    /// The agent
    #[arg(long, default_value = "", hide_default_value = true)]
    pub agent: String,

    /// A free attribute that may change the weight; may be given several times
    #[arg(long = "dimension", value_name = "NAME=VALUE", value_parser = read::pair)]
    pub dimensions: Vec<(String, String)>,

    /// Joins retries, resumes and children into one budget
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub run_id: String,

    /// The run that starts this one: its credits come out of that one's hold
    #[arg(long, value_name = "HANDLE", default_value = "", hide_default_value = true)]
    pub parent: String,

    /// An earlier try of the same account and action
    #[arg(long, value_name = "HANDLE", default_value = "", hide_default_value = true)]
    pub retry_of: String,
}

impl Who {
    pub fn subject(&self) -> Option<v1::Subject> {
        let (team, user, agent) = (self.team.clone(), self.user.clone(), self.agent.clone());
        let someone = !(team.is_empty() && user.is_empty() && agent.is_empty());
        someone.then_some(v1::Subject { team, user, agent })
    }

    pub fn dimensions(&self) -> BTreeMap<String, String> {
        self.dimensions.iter().cloned().collect()
    }
}

/// Units of an action's meters.
#[derive(Clone, Debug, Args)]
pub struct Units {
    /// Units, for an action with one meter
    #[arg(long, value_name = "N", conflicts_with = "quantities", allow_hyphen_values = true)]
    pub quantity: Option<String>,

    /// Units by meter, for an action with several
    #[arg(long, value_name = "METER=N,…", value_delimiter = ',', value_parser = read::pair)]
    pub quantities: Vec<(String, String)>,
}

impl Units {
    pub fn quantities(&self) -> BTreeMap<String, String> {
        self.quantities.iter().cloned().collect()
    }
}

/// How a run ended.
#[derive(Clone, Debug, Args)]
pub struct Ending {
    /// How the run ended
    #[arg(long, value_enum, default_value_t = RunResult::Succeeded)]
    pub result: RunResult,

    /// How much of the work a partial run did, from 0 to 1
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    pub completion: Option<String>,

    /// The outcome is verified: settles an action that its outcome charges
    #[arg(long)]
    pub verified: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunResult {
    Succeeded,
    Partial,
    Failed,
    Cancelled,
}

impl RunResult {
    pub fn wire(self) -> i32 {
        let result = match self {
            Self::Succeeded => v1::RunResult::Succeeded,
            Self::Partial => v1::RunResult::Partial,
            Self::Failed => v1::RunResult::Failed,
            Self::Cancelled => v1::RunResult::Cancelled,
        };
        result.into()
    }
}
