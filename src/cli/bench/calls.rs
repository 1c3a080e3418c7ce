//! The calls of one run, and when each was sent and answered.

use super::pace::Start;
use crate::grpc::call_error::CallError;
use crate::grpc::client::SidecarClient;
use crate::grpc::proto::v1;
use crate::runtime::{Boottime, Clock};

/// Every run of the load.
#[derive(Debug)]
pub struct Runs {
    /// What is asked for; each run has an account and a request id of its own.
    pub form: v1::AuthorizeRequest,
    /// How many accounts the runs go round; none: the account of the form itself.
    pub accounts: Option<u64>,
    /// What every request id begins with: no other load has the same.
    pub stem: String,
    pub commits: bool,
    /// The first connection, and the others; the runs go round them all.
    pub sidecar: SidecarClient,
    pub others: Vec<SidecarClient>,
    pub clock: Clock,
}

/// What became of one run.
#[derive(Debug)]
pub struct Ended {
    pub start: Start,
    pub account: String,
    pub sent: Boottime,
    pub authorize: Result<Answered<v1::AuthorizeResponse>, CallError>,
    /// Of a run that holds something.
    pub commit: Option<Result<Answered<v1::CommitResponse>, CallError>>,
}

#[derive(Debug)]
pub struct Answered<T> {
    pub at: Boottime,
    pub answer: T,
}

impl Runs {
    /// Makes the calls of one run, one after the other.
    pub fn run(&self, start: Start) -> impl Future<Output = Ended> + Send + use<> {
        let request = self.request(start.number);
        let mut sidecar = self.connection(start.number).clone();
        let (commits, clock) = (self.commits, self.clock.clone());
        async move {
            let sent = clock.boottime();
            let account = request.account.clone();
            let authorize = sidecar.authorize(request).await;
            let authorize = authorize.map(|answer| Answered { at: clock.boottime(), answer });
            let held = authorize.as_ref().ok().map(|answered| answered.answer.reservation.clone());
            let commit = match held {
                Some(reservation) if commits && !reservation.is_empty() => {
                    let request = v1::CommitRequest { reservation, ..v1::CommitRequest::default() };
                    let commit = sidecar.commit(request).await;
                    Some(commit.map(|answer| Answered { at: clock.boottime(), answer }))
                }
                _ => None,
            };
            Ended { start, account, sent, authorize, commit }
        }
    }

    fn connection(&self, number: u64) -> &SidecarClient {
        let turn = number % (self.others.len() as u64 + 1);
        usize::try_from(turn).ok().and_then(|turn| self.others.get(turn)).unwrap_or(&self.sidecar)
    }

    fn request(&self, number: u64) -> v1::AuthorizeRequest {
        let account = match self.accounts {
            Some(accounts) => format!("{}-{}", self.form.account, number % accounts),
            None => self.form.account.clone(),
        };
        let request_id = format!("{}-{number}", self.stem);
        v1::AuthorizeRequest { account, request_id, ..self.form.clone() }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A run of `acme-N` that was due at 0, sent after 1 µs, authorised after 10 µs and committed after 30 µs.
    pub fn ended(
        number: u64,
        authorize: Result<v1::AuthorizeResponse, CallError>,
        commit: Option<Result<v1::CommitResponse, CallError>>,
    ) -> Ended {
        let at = Boottime::from_micros;
        Ended {
            start: Start { number, due: at(0), counts: true },
            account: format!("acme-{number}"),
            sent: at(1),
            authorize: authorize.map(|answer| Answered { at: at(10), answer }),
            commit: match commit {
                Some(Ok(answer)) => Some(Ok(Answered { at: at(30), answer })),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            },
        }
    }

    pub fn answer(decision: v1::Decision, reason: v1::Reason) -> v1::AuthorizeResponse {
        v1::AuthorizeResponse {
            decision: decision.into(),
            reason: reason.into(),
            decided_by: v1::DecidedBy::Sidecar.into(),
            ..v1::AuthorizeResponse::default()
        }
    }

    pub fn error(code: &'static str, reason: &str) -> CallError {
        CallError {
            code,
            reason: reason.to_owned(),
            message: "so it is".to_owned(),
            metadata: std::collections::BTreeMap::new(),
            violations: Vec::new(),
            retry: None,
        }
    }
}
