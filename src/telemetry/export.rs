//! Spans to a collector, by OTLP over gRPC. Without a configured endpoint nothing of this exists.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler as SdkSampler, SdkTracer, SdkTracerProvider,
};
use thiserror::Error;

/// Spans that wait at most; further ones are dropped and counted by the exporter, so that a flood of refusals or a
/// collector that is away costs a fixed amount of memory and no call waits.
const QUEUE_MAX: usize = 4096;

/// A collector that takes longer is away.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where spans go, and who sends them.
#[derive(Clone, Debug)]
pub struct Export {
    /// `http://host:port` of a collector's OTLP/gRPC port.
    pub endpoint: String,
    /// `service.name`, such as `bursar-sidecar`.
    pub service: &'static str,
    /// `service.instance.id`.
    pub instance: String,
}

/// Sends spans until it is stopped.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("cannot export spans to `{endpoint}`: {cause}")]
    Endpoint { endpoint: String, cause: String },
    #[error("the exporter of spans did not stop: {0}")]
    Stop(String),
}

impl Exporter {
    /// Must be called within a tokio runtime. Connects when the first spans are sent.
    pub fn start(export: &Export) -> Result<Self, ExportError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&export.endpoint)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|cause| ExportError::Endpoint {
                endpoint: export.endpoint.clone(),
                cause: cause.to_string(),
            })?;
        let batches = BatchSpanProcessor::builder(exporter)
            .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(QUEUE_MAX).build())
            .build();
        let resource = Resource::builder()
            .with_service_name(export.service)
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", export.instance.clone()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            // What reaches the tracer was chosen already, refusals in unsampled traces among it.
            .with_sampler(SdkSampler::AlwaysOn)
            .with_span_processor(batches)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer("bursar")
    }

    /// Sends what waits and stops. Blocks for at most `within`: call it where blocking is allowed, while the runtime
    /// that it was started in still runs. Spans that a collector does not take are reported by a log line, not here.
    ///
    /// Errors: it took longer.
    pub fn stop(self, within: Duration) -> Result<(), ExportError> {
        self.0.shutdown_with_timeout(within).map_err(|cause| ExportError::Stop(cause.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span, Tracer};
    use tokio::io::AsyncReadExt;

    use super::*;

    fn to(endpoint: String) -> Export {
        Export { endpoint, service: "bursar-test", instance: "one".to_owned() }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn speaks_to_its_collector_when_it_stops() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let greeting = tokio::spawn(async move {
            let mut greeting = [0; 24];
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut greeting).await.unwrap();
            greeting
        });
        let exporter = Exporter::start(&to(endpoint)).unwrap();
        exporter.tracer().start("work").end();
        let stopped = tokio::task::spawn_blocking(move || exporter.stop(Duration::from_secs(5)));
        assert_eq!(&greeting.await.unwrap(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        stopped.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_impossible_endpoint_is_an_error_with_its_name() {
        let error = Exporter::start(&to("not a url".to_owned())).unwrap_err();
        assert!(error.to_string().contains("`not a url`"), "{error}");
    }
}
