//! A real sidecar in this process, with its journal on disk and its socket.

use std::path::Path;
use std::time::Duration;

use bursar::config::{SidecarConfig, Sources, load};
use bursar::grpc::proto::v1;
use bursar::grpc::proto::v1::entitlement_service_client::EntitlementServiceClient;
use bursar::runtime::{Shutdown, Stopper};
use tonic::transport::Channel;

/// How long a question is repeated.
const WITHIN: Duration = Duration::from_secs(20);

pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + WITHIN;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A run of so many drafts of the account `acme`.
pub fn run(quantity: &str) -> v1::AuthorizeRequest {
    v1::AuthorizeRequest {
        account: "acme".to_owned(),
        action: "draft".to_owned(),
        quantity: Some(quantity.to_owned()),
        ..Default::default()
    }
}

/// A sidecar's process, called over its socket.
pub struct Process {
    pub client: EntitlementServiceClient<Channel>,
    stopper: Stopper,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Process {
    pub async fn start(dir: &Path, ledger: &Path, more: &[(&'static str, &str)]) -> Self {
        let mut flags = vec![
            ("ledger", format!("unix://{}", ledger.display())),
            ("data_dir", dir.join("sidecar").display().to_string()),
            ("socket", dir.join("s.sock").display().to_string()),
            ("listen", "none".to_owned()),
            ("threads", "1".to_owned()),
        ];
        flags.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let sources = Sources { flags: flags.into_iter().collect(), ..Sources::default() };
        let config = load::<SidecarConfig>(&sources).unwrap().config;
        let (stopper, shutdown) = Shutdown::new();
        let (said, ready) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            bursar::sidecar::run(&config, move |listening| said.send(listening).unwrap(), shutdown).await
        });
        let socket = ready.await.unwrap().socket.unwrap();
        let endpoint = tonic::transport::Endpoint::from_shared(format!("unix://{}", socket.display()));
        let client = EntitlementServiceClient::new(endpoint.unwrap().connect().await.unwrap());
        Self { client, stopper, task }
    }

    pub async fn authorize(&self, quantity: &str) -> v1::AuthorizeResponse {
        self.client.clone().authorize(run(quantity)).await.unwrap().into_inner()
    }

    pub async fn run(&self, quantity: &str) {
        let allowed = self.authorize(quantity).await;
        assert!(!allowed.reservation.is_empty(), "{allowed:?}");
        self.commit(&allowed.reservation).await;
    }

    pub async fn commit(&self, reservation: &str) -> v1::CommitResponse {
        let commit = v1::CommitRequest {
            reservation: reservation.to_owned(),
            result: v1::RunResult::Succeeded.into(),
            ..Default::default()
        };
        self.client.clone().commit(commit).await.unwrap().into_inner()
    }

    /// As a crash does: nothing is said to anybody.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub async fn stop(self) {
        self.stopper.stop();
        drop(self.client);
        self.task.await.unwrap().unwrap();
    }
}
