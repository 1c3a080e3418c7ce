//! `grpc.health.v1`, per service: what serves, and whether the upstream is in reach.

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The name under which a sidecar says whether it reaches the ledger.
pub const UPSTREAM: &str = "bursar.ledger";

/// Says which services serve.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    pub(super) fn new(reporter: HealthReporter) -> Self {
        Self(reporter)
    }

    pub async fn say(&self, service: &str, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.0.set_service_status(service, status).await;
    }
}
