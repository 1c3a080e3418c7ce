//! What a journal's record says, whichever process wrote it.

use serde_json::Value;

use super::cbor;
use crate::lease::SidecarRecord;

/// A sidecar writes one byte, which is at most this, before the CBOR; CBOR of a ledger's record begins above it.
const KIND_MAX: u8 = 15;

/// A record, readable.
#[derive(Debug)]
pub struct Readable {
    /// Whose it is: `sidecar`, `ledger`, or empty where this build cannot tell.
    pub kind: &'static str,
    /// In words.
    pub text: String,
    /// Its content without names, where it is CBOR.
    pub cbor: Value,
}

/// Reads a record; what this build does not know is shown as it lies.
pub fn readable(payload: &[u8]) -> Readable {
    let (kind, body) = match payload.split_first() {
        Some((kind, body)) if *kind <= KIND_MAX => ("sidecar", body),
        Some(_) => ("", payload),
        None => ("", payload),
    };
    let content = cbor::json(body);
    let text = match minicbor::decode::<SidecarRecord>(body) {
        Ok(record) if kind == "sidecar" => format!("{record:?}"),
        _ => match &content {
            Ok(value) => value.to_string(),
            Err(why) => format!("{} bytes that can't be read: {why}", payload.len()),
        },
    };
    Readable { kind, text, cbor: content.unwrap_or_default() }
}
