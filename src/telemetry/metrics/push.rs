//! Readings to a collector, by OTLP: the same figures that are scraped, at the same names.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::reading::{Reader, Reading, Sample, Value};
use super::table::Kind;
use super::times::{BUCKETS_MICROS, Counted};
use crate::runtime::Clock;
use crate::telemetry::Export;

/// As often as scrapers come.
const EVERY: Duration = Duration::from_secs(15);

/// A collector that takes longer is away; the next reading has everything again.
const WITHIN: Duration = Duration::from_secs(5);

const MICROS_A_SECOND: f64 = 1e6;
const NANOS_A_MICRO: u64 = 1000;

/// Sends for as long as it is waited for, and once at once.
pub async fn push(export: Export, reader: Reader, clock: Clock) {
    let now = || u64::try_from(clock.wall().micros()).unwrap_or_default().saturating_mul(NANOS_A_MICRO);
    let started = now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        ticks.tick().await;
        let request = request(&export, &reader.read().await, started, now());
        let sent = timeout(WITHIN, send(&export.endpoint, request)).await;
        let failed = match sent {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if let Some(why) = failed.as_ref().filter(|_| !away) {
            tracing::warn!(
                endpoint = export.endpoint,
                why,
                "metrics can't be sent; each later reading has everything"
            );
        }
        away = failed.is_some();
    }
}

async fn send(endpoint: &str, request: ExportMetricsServiceRequest) -> Result<(), String> {
    let client = MetricsServiceClient::connect(endpoint.to_owned()).await;
    let mut client = client.map_err(|error| error.to_string())?;
    client.export(request).await.map(|_| ()).map_err(|status| status.message().to_owned())
}

fn request(export: &Export, readings: &[Reading], started: u64, at: u64) -> ExportMetricsServiceRequest {
    let attributes = [
        ("service.name", export.service),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", export.instance.as_str()),
    ];
    let resource = Resource { attributes: attributes.map(pair).to_vec(), ..Resource::default() };
    let scope = InstrumentationScope { name: "bursar".to_owned(), ..InstrumentationScope::default() };
    let metrics = readings.iter().map(|reading| told(reading, started, at)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let all = ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![all] }
}

fn told(reading: &Reading, started: u64, at: u64) -> Metric {
    let Reading { metric, samples } = reading;
    let cumulative = AggregationTemporality::Cumulative as i32;
    let numbers = || samples.iter().filter_map(|sample| number(sample, started, at)).collect();
    let data = match metric.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge | Kind::Info => metric::Data::Gauge(Gauge { data_points: numbers() }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: samples.iter().filter_map(|sample| times(sample, started, at)).collect(),
            aggregation_temporality: cumulative,
        }),
    };
    Metric {
        name: metric.name.to_owned(),
        description: metric.help.to_owned(),
        unit: if metric.kind == Kind::Histogram { "s" } else { "" }.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn number(sample: &Sample, started: u64, at: u64) -> Option<NumberDataPoint> {
    let Value::Number(number) = sample.value else { return None };
    Some(NumberDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: started,
        time_unix_nano: at,
        value: Some(number_data_point::Value::AsDouble(number)),
        ..NumberDataPoint::default()
    })
}

fn times(sample: &Sample, started: u64, at: u64) -> Option<HistogramDataPoint> {
    let Value::Times(Counted { counts, seconds, examples }) = &sample.value else { return None };
    let seconds_of = |micros: &u64| Duration::from_micros(*micros).as_secs_f64();
    let exemplars = examples.iter().flatten().map(|example| Exemplar {
        time_unix_nano: at,
        trace_id: example.trace_id.to_vec(),
        value: Some(exemplar::Value::AsDouble(example.took.as_micros() as f64 / MICROS_A_SECOND)),
        ..Exemplar::default()
    });
    Some(HistogramDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: started,
        time_unix_nano: at,
        count: counts.iter().sum(),
        sum: Some(*seconds),
        bucket_counts: counts.clone(),
        explicit_bounds: BUCKETS_MICROS.iter().map(seconds_of).collect(),
        exemplars: exemplars.collect(),
        ..HistogramDataPoint::default()
    })
}

fn labels(sample: &Sample) -> Vec<KeyValue> {
    sample.labels.iter().map(|(name, value)| pair((name, value))).collect()
}

fn pair((key, value): (&str, &str)) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::table;
    use crate::telemetry::metrics::times::Times;

    #[test]
    fn buckets_and_traces_come_along() {
        let counted = Times::default();
        counted.count(Duration::from_micros(30), Some([1; 16]));
        counted.count(Duration::from_secs(100), None);
        let export = Export { endpoint: String::new(), service: "bursar-test", instance: "one".to_owned() };
        let readings = [
            Reading::of(&table::RESERVED, 2.5),
            super::super::reading::times(&table::FLUSH_SECONDS, &counted),
        ];
        let request = request(&export, &readings, 1, 2);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let Some(metric::Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(2.5)));
        let Some(metric::Data::Histogram(histogram)) = &metrics[1].data else { panic!("{metrics:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.bucket_counts.len()), (2, point.explicit_bounds.len() + 1));
        assert_eq!((point.bucket_counts[3], point.explicit_bounds[3]), (1, 0.00005));
        assert_eq!(point.exemplars[0].trace_id, [1; 16]);
    }
}
