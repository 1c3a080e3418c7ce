//! What a journal's record says, whichever process wrote it. No key is ever shown.

use serde_json::Value;

use super::cbor;
use crate::ledger::record::LedgerRecord;
use crate::sidecar::entry::{self, Found};

/// A sidecar's record begins with a byte up to this, which says its kind; the ledger's CBOR begins above it.
const KIND_MAX: u8 = 15;

/// A record, readable.
#[derive(Debug)]
pub struct Readable {
    /// Whose it is: `sidecar`, `ledger`, or empty where this build cannot tell.
    pub kind: &'static str,
    /// In words.
    pub text: String,
    /// Its fields by their numbers; null where it is not CBOR.
    pub cbor: Value,
}

/// Reads a record; of what this build does not know it says so.
pub fn readable(payload: &[u8]) -> Readable {
    match payload.split_first() {
        Some((kind, body)) if *kind <= KIND_MAX => of_sidecar(payload, body),
        _ => of_ledger(payload),
    }
}

fn of_sidecar(payload: &[u8], body: &[u8]) -> Readable {
    let text = match entry::read(payload) {
        Ok(Found::Record(record)) => format!("{record:?}"),
        Ok(Found::Playbook(source)) => format!("Playbook, {} bytes", source.len()),
        Ok(Found::Attached(attachment)) => format!("{attachment:?}"),
        Ok(Found::Elsewhere(elsewhere)) => format!("{elsewhere:?}"),
        Ok(Found::Snapshot(part)) => format!(
            "Snapshot of {:?}, part {} of {}, {} bytes",
            part.account,
            u64::from(part.part) + 1,
            part.parts,
            part.bytes.len()
        ),
        Err(why) => format!("{} bytes: {why}", payload.len()),
    };
    Readable { kind: "sidecar", text, cbor: cbor::json(body).unwrap_or_default() }
}

fn of_ledger(payload: &[u8]) -> Readable {
    let cbor = cbor::json(payload).unwrap_or_default();
    match minicbor::decode::<LedgerRecord>(payload) {
        Ok(LedgerRecord::Published(published)) => {
            let (version, bytes) = (published.version, published.source.len());
            let text = format!("Published version {version} at {}, {bytes} bytes", published.at);
            Readable { kind: "ledger", text, cbor }
        }
        Ok(LedgerRecord::Unapplied(unapplied)) => {
            let (number, epoch, sidecar) = (unapplied.number, unapplied.epoch, unapplied.sidecar);
            let why = unapplied.why;
            let text = format!("Unapplied record {number} of {epoch:?} of {sidecar:?}: {why}");
            Readable { kind: "ledger", text, cbor }
        }
        Ok(record) => Readable { kind: "ledger", text: format!("{record:?}"), cbor },
        Err(why) => {
            let text = format!("{} bytes that this build cannot read: {why}", payload.len());
            Readable { kind: "", text, cbor }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::Identity;

    #[test]
    fn a_ledgers_record_is_read_without_its_secret() {
        let identity = Identity { secret: [7; 32], generation: 3, learning_until: None };
        let shown = readable(&minicbor::to_vec(LedgerRecord::Identity(identity)).unwrap());
        assert_eq!(shown.kind, "ledger");
        assert!(shown.text.contains("generation 3") && !shown.text.contains("7, 7"), "{}", shown.text);
        assert!(shown.cbor.to_string().contains("(32 bytes)"), "{}", shown.cbor);
    }

    #[test]
    fn a_sidecars_playbook_is_named_not_repeated() {
        let shown = readable(b"\x01bursar: 1\n");
        assert_eq!((shown.kind, shown.text.as_str()), ("sidecar", "Playbook, 10 bytes"));
        assert!(shown.cbor.is_null());
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert!(readable(&[9, 1]).text.contains("kind 9"));
        assert!(readable(&[]).text.contains("cannot read"));
    }
}
