//! What others see of a sidecar: probes, figures, spans.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;

use super::door::Door;
use super::metrics::Metrics;
use super::upstream::Upstream;
use crate::config::SidecarConfig;
use crate::grpc::listen::Listeners;
use crate::telemetry::metrics::{Reader, Reading};
use crate::telemetry::{Admin, Export, Readiness};
use crate::types::SidecarId;

pub fn bind(address: SocketAddr, listeners: &mut Listeners) -> anyhow::Result<Admin> {
    let admin = Admin::bind(address)
        .with_context(|| format!("can't listen on `{address}` for probes and metrics"))?;
    listeners.also(admin.address());
    Ok(admin)
}

pub fn reader<U: Upstream>(door: &Arc<Door<U>>, metrics: Option<Arc<Metrics>>) -> Reader {
    let door = Arc::clone(door);
    Reader::new(move || {
        let (door, metrics) = (Arc::clone(&door), metrics.clone());
        async move {
            match (door.core(), metrics) {
                (Ok(core), Some(metrics)) => core.read(&metrics).await,
                // It starts, or reads its journal again.
                _ => vec![Reading::build("sidecar")],
            }
        }
    })
}

/// Serves probes and scrapers for as long as it is waited for.
pub async fn admin(admin: Admin, readiness: Readiness, reader: Reader) {
    if let Err(why) = admin.serve(readiness, reader).await {
        tracing::error!(%why, "probes and metrics are not served");
    }
}

pub fn export(config: &SidecarConfig, id: &SidecarId) -> Option<Export> {
    let endpoint = config.otlp_endpoint.as_ref()?.to_string();
    let label = config.label.as_ref().map(ToString::to_string);
    Some(Export { endpoint, service: "bursar-sidecar", instance: label.unwrap_or_else(|| id.to_string()) })
}
