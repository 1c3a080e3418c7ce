//! Every write at the ledger has a request id; one is drawn where none is given, and told where it may be needed again.

use anyhow::Context;
use clap::Args;

use super::failure::Failure;

#[derive(Clone, Debug, Args)]
pub struct RequestIdArgs {
    /// Makes the call idempotent: repeat a call whose answer was lost under the same id [default: drawn at random]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestIdArgs {
    /// Calls `write` with the id. A call that may have happened unseen fails with the id under which to repeat it.
    pub async fn write<T, F: AsyncFnOnce(String) -> Result<T, Failure>>(
        &self,
        write: F,
    ) -> Result<T, Failure> {
        let id = match &self.request_id {
            Some(id) => id.clone(),
            None => drawn().map_err(|error| Failure::from(error).help("give a `--request-id`"))?,
        };
        write(id.clone()).await.map_err(|failure| {
            if failure.may_have_happened() {
                failure.help(format!(
                    "it may have been done: repeat it with `--request-id {id}`, it is done once"
                ))
            } else {
                failure
            }
        })
    }
}

/// 128 random bits: never drawn twice.
pub fn drawn() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("cannot draw a request id")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_ids_differ() {
        let (one, other) = (drawn().unwrap(), drawn().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
