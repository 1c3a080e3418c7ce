//! The bytes of a record on disk, the same for every engine.
//!
//! `version u8 | start u64 | number u64 | length u32 | previous link [16] | payload | crc32 u32`, little-endian. A record's
//! link is the hash of everything before its checksum, so each record vouches for all before it; the first one's
//! previous link is the journal's id.

use std::fmt;

use super::store::Finding;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 8 + 8 + 4 + LINK_LEN;
const CHECKSUM_LEN: usize = 4;
const LINK_LEN: usize = 16;

/// What a frame adds to its payload, in bytes.
pub(super) const OVERHEAD: usize = HEADER_LEN + CHECKSUM_LEN;

/// The longest payload. Records are a few hundred bytes; a published playbook is the largest thing anyone writes, and
/// a length above this in a frame is damage, not a record.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// What a record is known by: BLAKE3 of its frame, cut to 16 bytes (a checksum against damage and reordering; nobody
/// who can write the file is kept out by it).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Link(pub [u8; LINK_LEN]);

impl Link {
    fn of(frame: &[u8]) -> Self {
        let mut link = [0; LINK_LEN];
        link.iter_mut().zip(blake3::hash(frame).as_bytes()).for_each(|(to, from)| *to = *from);
        Self(link)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

/// One decoded frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub start: u64,
    pub number: u64,
    pub previous: Link,
    pub payload: &'a [u8],
    pub link: Link,
}

/// Appends the frame of `payload` to `out` and returns the record's link. The payload is at most
/// [`RECORD_BYTES_MAX`] long; the caller has checked it.
pub(super) fn encode(start: u64, number: u64, previous: Link, payload: &[u8], out: &mut Vec<u8>) -> Link {
    let from = out.len();
    out.reserve(OVERHEAD + payload.len());
    out.push(VERSION);
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&previous.0);
    out.extend_from_slice(payload);
    let hashed = out.get(from..).unwrap_or_default();
    let (link, checksum) = (Link::of(hashed), crc32fast::hash(hashed));
    out.extend_from_slice(&checksum.to_le_bytes());
    link
}

/// Takes the first frame off `bytes`. `after` is the number of the record before it, for the message.
pub(super) fn decode<'a>(bytes: &mut &'a [u8], after: u64) -> Result<Frame<'a>, Finding> {
    let damaged = || Finding::Unreadable { after };
    let whole = *bytes;
    let mut rest = whole;
    let [version] = take(&mut rest).ok_or_else(damaged)?;
    if version != VERSION {
        return Err(Finding::Version { after, found: version });
    }
    let start = u64::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    let number = u64::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    let length = u32::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    let length =
        usize::try_from(length).ok().filter(|length| *length <= RECORD_BYTES_MAX).ok_or_else(damaged)?;
    let previous = Link(take(&mut rest).ok_or_else(damaged)?);
    let (payload, mut rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let (hashed, _) = whole.split_at_checked(HEADER_LEN + length).ok_or_else(damaged)?;
    let checksum = u32::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    if checksum != crc32fast::hash(hashed) {
        return Err(Finding::Checksum { after });
    }
    *bytes = rest;
    Ok(Frame { start, number, previous, payload, link: Link::of(hashed) })
}

/// The next `N` bytes, taken off the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENESIS: Link = Link([7; 16]);

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let first = encode(3, 1, GENESIS, b"one", &mut bytes);
        let second = encode(3, 2, first, b"", &mut bytes);
        let mut rest = bytes.as_slice();
        let frame = decode(&mut rest, 0).unwrap();
        assert_eq!((frame.start, frame.number, frame.previous, frame.payload), (3, 1, GENESIS, &b"one"[..]));
        assert_eq!(frame.link, first);
        let frame = decode(&mut rest, 1).unwrap();
        assert_eq!((frame.number, frame.previous, frame.link), (2, first, second));
        assert!(rest.is_empty());
    }

    #[test]
    fn every_cut_and_every_flip_is_noticed() {
        let mut bytes = Vec::new();
        encode(3, 9, GENESIS, b"a record of some length", &mut bytes);
        for cut in 0..bytes.len() {
            assert!(decode(&mut &bytes[..cut], 8).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode(&mut flipped.as_slice(), 8).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn the_format_stays_what_it_is() {
        let mut bytes = Vec::new();
        let link = encode(1, 2, GENESIS, b"pay", &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "01\
             0100000000000000\
             0200000000000000\
             03000000\
             07070707070707070707070707070707\
             706179\
             47788fb1"
        );
        assert_eq!(link.to_string(), "582ecdeb75b053621a31cbde94e2dd64");
    }
}
