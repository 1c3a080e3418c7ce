//! What a call brings besides its message: a deadline, a place in a trace.

use std::time::Duration;

use tonic::codegen::http::{HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;

use crate::telemetry::TraceParent;

// Parsed when the program is compiled, not in each call.
static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Of the time that a caller gives, this part may be spent on asking others, so that the answer still arrives.
const PATIENCE_OF_DEADLINE: (u32, u32) = (3, 4);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// How long the caller's deadline lets us ask others; `None` = it has none.
    pub patience: Option<Duration>,
    pub parent: Option<TraceParent>,
}

impl Call {
    pub fn new(timeout: Option<Duration>, traceparent: &[u8]) -> Self {
        let patience = timeout.map(|timeout| timeout / PATIENCE_OF_DEADLINE.1 * PATIENCE_OF_DEADLINE.0);
        Self { patience, parent: TraceParent::parse(traceparent) }
    }

    /// What a call's headers say.
    pub fn of(metadata: &MetadataMap) -> Self {
        let header = |name| metadata.as_ref().get(name).map(HeaderValue::as_bytes);
        Self::new(header(&TIMEOUT).and_then(timeout), header(&TRACEPARENT).unwrap_or_default())
    }
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it.
fn timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        for (text, millis) in
            [("1S", Some(1000)), ("250m", Some(250)), ("2M", Some(120_000)), ("99999999n", Some(99))]
        {
            assert_eq!(timeout(text.as_bytes()).map(|t| t.as_millis()), millis, "{text}");
        }
        for text in ["", "S", "1", "123456789S", "-1S", "1x"] {
            assert_eq!(timeout(text.as_bytes()), None, "{text}");
        }
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "1S".parse().unwrap());
        assert_eq!(Call::of(&metadata), Call { patience: Some(Duration::from_millis(750)), parent: None });
    }
}
