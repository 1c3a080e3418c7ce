//! The opaque, authenticated name of a reservation, from which any settler can tell what it was. It never says what the
//! reservation draws on, for that changes.

use std::collections::BTreeMap;

use base64_simd::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::credit::{Final, Reservation, Run, State, Subject};
use crate::lease::terms::HandleKey;
use crate::playbook::charge::Quantities;
use crate::types::{AccountId, Credits, Name, RequestId, ReservationId, SidecarId, Timestamp, cbor};

/// The longest handle, in bytes of its text.
pub const HANDLE_LEN_MAX: usize = 512;

/// Bytes of the authentication code at a handle's end.
const TAG_LEN: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Handle {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub account: AccountId,
    /// The sidecar that authorised it.
    #[n(2)]
    pub settler: SidecarId,
    #[n(3)]
    pub action: Name,
    #[n(4)]
    pub version: u32,
    /// What was authorised; left out where it would make the handle too long.
    #[n(5)]
    pub quantities: Option<Quantities>,
    #[n(6)]
    pub authorized_at: Timestamp,
    #[n(7)]
    pub expires_at: Timestamp,
    #[n(8)]
    pub key: u32,
    /// Left out where it would make the handle too long.
    #[n(9)]
    pub subject: Option<Subject>,
    /// Left out where it would make the handle too long.
    #[n(10)]
    pub dimensions: Option<BTreeMap<Name, Name>>,
    #[n(11)]
    pub run_id: Option<Name>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandleError {
    #[error("is not a handle that `Authorize` answered")]
    Malformed,
    #[error("was not made for this account, or was altered")]
    NotAuthentic,
}

impl Handle {
    pub fn of(run: &Reservation, account: &AccountId, settler: SidecarId, key: u32) -> Self {
        Self::new(run.id, &run.run, run.version, (run.authorized_at, run.expires_at), account, settler, key)
    }

    pub fn new(
        id: ReservationId,
        run: &Run,
        version: u32,
        (authorized_at, expires_at): (Timestamp, Timestamp),
        account: &AccountId,
        settler: SidecarId,
        key: u32,
    ) -> Self {
        Self {
            id,
            account: account.clone(),
            settler,
            action: run.action.clone(),
            version,
            quantities: Some(run.quantities.clone()),
            authorized_at,
            expires_at,
            key,
            subject: (run.subject != Subject::default()).then(|| run.subject.clone()),
            dimensions: (!run.dimensions.is_empty()).then(|| run.dimensions.clone()),
            run_id: run.run_id.clone(),
        }
    }

    /// The text of the handle. Parts that make it too long are left out, the least needed first.
    pub fn seal(mut self, key: &HandleKey) -> String {
        loop {
            let mut bytes = Vec::with_capacity(192);
            cbor::write(&self, &mut bytes);
            let fits = (bytes.len() + TAG_LEN).div_ceil(3) * 4 <= HANDLE_LEN_MAX;
            if !fits && self.shorten() {
                continue;
            }
            bytes.extend_from_slice(&tag(&bytes, key));
            return URL_SAFE_NO_PAD.encode_to_string(bytes);
        }
    }

    fn shorten(&mut self) -> bool {
        self.subject.take().is_some()
            || self.run_id.take().is_some()
            || self.dimensions.take().is_some()
            || self.quantities.take().is_some()
    }

    /// Reads a handle without checking it: it only says for which account it claims to be.
    pub fn peek(text: &str) -> Result<Self, HandleError> {
        let bytes = bytes(text)?;
        let (body, _) =
            bytes.split_at_checked(bytes.len().saturating_sub(TAG_LEN)).ok_or(HandleError::Malformed)?;
        minicbor::decode(body).map_err(|_| HandleError::Malformed)
    }

    /// Reads a handle and checks that the account's key made it.
    pub fn open(text: &str, key: &HandleKey) -> Result<Self, HandleError> {
        let bytes = bytes(text)?;
        let (body, given) =
            bytes.split_at_checked(bytes.len().saturating_sub(TAG_LEN)).ok_or(HandleError::Malformed)?;
        let expected = tag(body, key);
        // Every byte is compared, whichever differs first.
        let differs = expected.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        if differs != 0 || given.len() != TAG_LEN {
            return Err(HandleError::NotAuthentic);
        }
        let handle: Self = minicbor::decode(body).map_err(|_| HandleError::Malformed)?;
        if handle.key == key.id { Ok(handle) } else { Err(HandleError::NotAuthentic) }
    }

    /// What is known of a run of which nothing but its handle is left.
    pub fn as_final(&self, at: Timestamp) -> Final {
        Final {
            run: Run {
                action: self.action.clone(),
                subject: self.subject.clone().unwrap_or_default(),
                quantities: self.quantities.clone().unwrap_or(Quantities::Meters(Vec::new())),
                dimensions: self.dimensions.clone().unwrap_or_default(),
                run_id: self.run_id.clone(),
                parent: None,
                retry_of: None,
            },
            version: self.version,
            state: State::Lapsed,
            result: None,
            spent: Vec::new(),
            debt: Credits::ZERO,
            asked: None,
            ended_at: self.expires_at.min(at),
            chain: None,
            authorized_at: self.authorized_at,
            decision: crate::credit::Decision::Allowed,
            expires_at: self.expires_at,
            completion: None,
            observed: false,
            used: None,
            budget: self.id,
            provisional: None,
            refunded: None,
        }
    }
}

/// The reservation's id for a request id: every sidecar makes the same one.
pub fn reservation_id(
    key: &HandleKey,
    account: &AccountId,
    operation: &str,
    request: &RequestId,
) -> ReservationId {
    // In one piece: hashing a short text is cheaper than keeping a hasher.
    let mut named = Vec::with_capacity(128);
    for part in [account.as_str(), operation, request.as_str()] {
        named.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        named.extend_from_slice(part.as_bytes());
    }
    let mut id = [0; 16];
    id.iter_mut().zip(blake3::keyed_hash(&key.secret, &named).as_bytes()).for_each(|(to, from)| *to = *from);
    ReservationId(id)
}

fn bytes(text: &str) -> Result<Vec<u8>, HandleError> {
    if text.len() > HANDLE_LEN_MAX {
        return Err(HandleError::Malformed);
    }
    URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| HandleError::Malformed)
}

fn tag(body: &[u8], key: &HandleKey) -> [u8; TAG_LEN] {
    let hash = blake3::keyed_hash(&key.secret, body);
    let mut tag = [0; TAG_LEN];
    tag.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Quantity;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn handle() -> Handle {
        let run = Run {
            action: name("draft"),
            subject: Subject { user: Some(name("ann")), ..Subject::default() },
            quantities: Quantities::Single(Quantity::ONE),
            dimensions: BTreeMap::new(),
            run_id: None,
            parent: None,
            retry_of: None,
        };
        let times = (Timestamp::from_micros(1), Timestamp::from_micros(2));
        let account = AccountId::parse("acme").unwrap();
        Handle::new(ReservationId([7; 16]), &run, 3, times, &account, SidecarId([9; 16]), 1)
    }

    #[test]
    fn only_the_accounts_key_opens_it() {
        let key = HandleKey { id: 1, secret: [5; 32] };
        let text = handle().seal(&key);
        assert_eq!(Handle::open(&text, &key), Ok(handle()));
        let other = HandleKey { id: 1, secret: [6; 32] };
        assert_eq!(Handle::open(&text, &other), Err(HandleError::NotAuthentic));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(Handle::open(&String::from_utf8(bytes).unwrap(), &key).is_err(), "byte {at}");
        }
    }

    #[test]
    fn stays_short_whatever_the_names() {
        let long = name(&"x".repeat(128));
        let mut handle = handle();
        handle.account = AccountId::parse(&"y".repeat(128)).unwrap();
        handle.action = name(&"z".repeat(64));
        handle.subject =
            Some(Subject { team: Some(long.clone()), user: Some(long.clone()), agent: Some(long.clone()) });
        handle.run_id = Some(long.clone());
        handle.dimensions = Some((0..20).map(|i| (name(&format!("d{i}")), long.clone())).collect());
        let key = HandleKey { id: 1, secret: [5; 32] };
        let text = handle.seal(&key);
        assert!(text.len() <= HANDLE_LEN_MAX, "{}", text.len());
        assert!(Handle::open(&text, &key).is_ok());
    }
}
