//! Between the messages of `LeaseService` and domain values, both ways.

use std::time::Duration;

use prost::bytes::Bytes;
use tonic::Status;
use tonic_types::StatusExt;

use super::ledger_api::{Attached, Batch, Change, Hello, NamedRun, Reported, Sender};
use super::ledger_status::invalid;
use super::proto::ledger_v1 as wire;
use crate::lease::{Accounts, Acting};
use crate::types::{AccountId, Epoch, Name, ReservationId, SidecarId, Timestamp};

/// Longer patience than this is cut: nobody who waits for a run waits longer.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A value in the journals' encoding.
pub(super) fn encoded<T: minicbor::Encode<()>>(value: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    // Writing to a Vec cannot fail.
    let _ = minicbor::encode(value, &mut bytes);
    bytes.into()
}

/// Reads a value in the journals' encoding; what follows it is refused, too.
pub(super) fn decoded<T: for<'b> minicbor::Decode<'b, ()>>(bytes: &[u8]) -> Result<T, String> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().map_err(|error| error.to_string())?;
    if decoder.position() == bytes.len() { Ok(value) } else { Err("bytes follow the value".to_owned()) }
}

pub(super) fn sidecar(bytes: &[u8]) -> Result<SidecarId, Status> {
    <[u8; 16]>::try_from(bytes)
        .map(SidecarId)
        .map_err(|_| invalid("INVALID_SIDECAR", "sidecar", "a sidecar's id has 16 bytes".to_owned()))
}

pub(super) fn hello(request: &wire::AttachRequest) -> Result<Hello, Status> {
    let &wire::AttachRequest { start, generation, acknowledged, .. } = request;
    let identity = match request.identity.as_str() {
        "" => None,
        name => Some(
            Name::parse(name)
                .map_err(|what| invalid("INVALID_SIDECAR", "identity", format!("`identity` {what}")))?,
        ),
    };
    let accounts = Accounts::parse(request.accounts.iter().map(String::as_str))
        .map_err(|what| invalid("INVALID_ACCOUNT", "accounts", what))?;
    let acting = Acting { identity, accounts, certificate: None };
    Ok(Hello { sidecar: sidecar(&request.sidecar)?, start, generation, acknowledged, acting })
}

pub(super) fn account(text: &str) -> Result<AccountId, Status> {
    AccountId::parse(text).map_err(|what| invalid("INVALID_ACCOUNT", "account", format!("`account` {what}")))
}

pub(super) fn sender(sender: Option<&wire::Sender>) -> Result<Sender, Status> {
    let missing = || {
        invalid("INVALID_SIDECAR", "sender", "`sender` is missing; say who speaks, with its epoch".to_owned())
    };
    let sender = sender.ok_or_else(missing)?;
    let said = sender.epoch.as_ref().ok_or_else(missing)?;
    Ok(Sender { sidecar: sidecar(&sender.sidecar)?, epoch: epoch(said) })
}

/// An answer about one of several accounts.
pub(super) fn account_lease(leased: Result<Option<Bytes>, Status>) -> wire::AccountLease {
    match leased {
        Ok(grant) => wire::AccountLease { grant, fault: None },
        Err(status) => {
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
            let (code, message) = (status.code().into(), status.message().to_owned());
            wire::AccountLease { grant: None, fault: Some(wire::LeaseFault { code, reason, message }) }
        }
    }
}

/// Runs that one call may name: a parent and an earlier try.
const NAMED_MAX: usize = 8;

pub(super) fn named_runs(named: &[wire::NamedRun]) -> Result<Vec<NamedRun>, Status> {
    let read = |named: &wire::NamedRun| {
        Ok(NamedRun { id: reservation(&named.reservation)?, settler: sidecar(&named.settler)? })
    };
    if named.len() > NAMED_MAX {
        return Err(invalid("INVALID_ASK", "runs", format!("a call names at most {NAMED_MAX} other runs")));
    }
    named.iter().map(read).collect()
}

pub(super) fn wire_named(named: &NamedRun) -> wire::NamedRun {
    wire::NamedRun {
        reservation: Bytes::copy_from_slice(&named.id.0),
        settler: Bytes::copy_from_slice(&named.settler.0),
    }
}

pub(super) fn reservation(bytes: &[u8]) -> Result<ReservationId, Status> {
    <[u8; 16]>::try_from(bytes)
        .map(ReservationId)
        .map_err(|_| invalid("INVALID_ASK", "runs", "a reservation's id has 16 bytes".to_owned()))
}

pub(super) fn epoch(epoch: &wire::Epoch) -> Epoch {
    Epoch { generation: epoch.generation, start: epoch.start }
}

pub(super) fn wire_sender(who: Sender) -> Option<wire::Sender> {
    let sidecar = Bytes::copy_from_slice(&who.sidecar.0);
    Some(wire::Sender { sidecar, epoch: Some(wire_epoch(who.epoch)) })
}

pub(super) fn wire_epoch(epoch: Epoch) -> wire::Epoch {
    wire::Epoch { generation: epoch.generation, start: epoch.start }
}

/// How long the other side waits; left out or senseless = not at all.
pub(super) fn wait(duration: Option<&prost_types::Duration>) -> Duration {
    duration.and_then(|wait| Duration::try_from(*wait).ok()).unwrap_or_default().min(WAIT_MAX)
}

pub(super) fn wire_duration(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration.min(WAIT_MAX)).ok()
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.micros().div_euclid(1_000_000),
        nanos: i32::try_from(at.micros().rem_euclid(1_000_000) * 1000).unwrap_or_default(),
    }
}

pub(super) fn instant(at: &prost_types::Timestamp) -> Timestamp {
    let micros = at.seconds.saturating_mul(1_000_000);
    Timestamp::from_micros(micros.saturating_add(i64::from(at.nanos) / 1000))
}

pub(super) fn wire_attached(attached: Attached, versions: &[u32]) -> wire::AttachResponse {
    let playbooks = attached.playbooks.into_iter().zip(versions);
    wire::AttachResponse {
        epoch: Some(wire_epoch(attached.epoch)),
        generation: attached.generation,
        now: Some(timestamp(attached.now)),
        playbooks: playbooks
            .map(|(document, version)| wire::PlaybookPublished { version: *version, document })
            .collect(),
        acknowledged: attached.acknowledged,
    }
}

pub(super) fn batch(request: wire::ReportRequest) -> Result<Batch, Status> {
    let mut records = Vec::with_capacity(request.records.len());
    for record in request.records {
        let said = record.epoch.as_ref().ok_or_else(|| {
            invalid("INVALID_RECORDS", "records", format!("record {} has no epoch", record.number))
        })?;
        let (number, epoch) = (record.number, epoch(said));
        records.push(Reported { number, epoch, body: record.body.into() });
    }
    let mut totals = Vec::with_capacity(request.totals.len());
    for total in request.totals {
        let read = decoded(&total.totals).map_err(|what| bad_totals("totals", &what))?;
        totals.push((account(&total.account)?, read));
    }
    let mut recounts = Vec::with_capacity(request.recounts.len());
    for recount in request.recounts {
        let read = decoded(&recount.recount).map_err(|what| bad_totals("recounts", &what))?;
        recounts.push((account(&recount.account)?, read));
    }
    let wire::ReportRequest { acknowledged, recalls_seen, .. } = request;
    Ok(Batch { records, totals, recounts, acknowledged, recalls_seen })
}

fn bad_totals(field: &str, what: &str) -> Status {
    invalid("INVALID_TOTALS", field, format!("`{field}`: {what}"))
}

pub(super) fn wire_change(change: Change) -> wire::WatchResponse {
    use wire::watch_response::Change as Wire;
    let change = match change {
        Change::Playbook { version, source } => {
            Wire::Playbook(wire::PlaybookPublished { version, document: source })
        }
        Change::Terms(account, terms) => {
            let terms = encoded(&*terms);
            Wire::Terms(wire::AccountTerms { account: account.to_string(), terms })
        }
        Change::Unknown(account) => Wire::Unknown(wire::AccountUnknown { account: account.to_string() }),
        Change::Recall { number, account } => {
            Wire::Recall(wire::Recall { number, account: account.to_string() })
        }
        Change::Promote { number, account, runs } => Wire::Promote(wire::Promote {
            number,
            account: account.to_string(),
            reservations: runs.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect(),
        }),
    };
    wire::WatchResponse { change: Some(change) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Ask;

    #[test]
    fn a_value_with_something_behind_it_is_refused() {
        let mut bytes = encoded(&Ask::default()).to_vec();
        assert_eq!(decoded::<Ask>(&bytes), Ok(Ask::default()));
        bytes.push(0);
        assert!(decoded::<Ask>(&bytes).is_err());
        assert!(decoded::<Ask>(b"").is_err());
    }

    #[test]
    fn instants_before_1970_keep_their_fraction() {
        for micros in [-1, 0, 1, -1_500_000, 1_790_000_000_000_001] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(instant(&timestamp(at)), at);
        }
    }
}
