//! The bytes of records on disk, the same for every engine: a frame holds the records of one commit.
//!
//! `version u8 = 2 | start u64 | first u64 | count u32 | length u32 | previous link [16] | (length u32 | payload)… | crc32 u32`,
//! little-endian. A frame's link is the hash of everything before its checksum, so each frame vouches for all before
//! it; the first one's previous link is the journal's id. Version 1 held one record each:
//! `1 | start u64 | number u64 | length u32 | previous link [16] | payload | crc32 u32`.

use std::fmt;

use super::store::Finding;

const ONE_RECORD: u8 = 1;
const VERSION: u8 = 2;
const ONE_RECORD_HEADER_LEN: usize = 1 + 8 + 8 + 4 + LINK_LEN;
const LENGTH_LEN: usize = 4;
const LINK_LEN: usize = 16;

/// What stands before the records of a frame, in bytes.
pub(super) const HEADER_LEN: usize = 1 + 8 + 8 + 4 + 4 + LINK_LEN;

/// The longest payload. Records are a few hundred bytes; a published playbook is the largest thing anyone writes, and
/// a length above this in a frame is damage, not a record.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// The longest frame: full but for its last record, which is the longest there is.
pub(super) const FRAME_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

/// What a frame is known by: BLAKE3 of its bytes, cut to 16 bytes (a checksum against damage and reordering; nobody
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
    /// The number of the first record.
    pub first: u64,
    pub previous: Link,
    pub payloads: Vec<&'a [u8]>,
    pub link: Link,
}

/// Appends a record to a frame that is being made. The payload is at most [`RECORD_BYTES_MAX`] long; the caller has
/// checked it.
pub(super) fn push(payload: &[u8], frame: &mut Vec<u8>) {
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(payload);
}

/// Finishes a frame: room of [`HEADER_LEN`] and `count` records from `first` on. Answers its link.
pub(super) fn seal(start: u64, first: u64, count: u64, previous: Link, frame: &mut Vec<u8>) -> Link {
    let length = frame.len().saturating_sub(HEADER_LEN);
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.push(VERSION);
    header.extend_from_slice(&start.to_le_bytes());
    header.extend_from_slice(&first.to_le_bytes());
    header.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    header.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    header.extend_from_slice(&previous.0);
    frame.iter_mut().zip(header).for_each(|(to, from)| *to = from);
    let (link, checksum) = (Link::of(frame), crc32fast::hash(frame));
    frame.extend_from_slice(&checksum.to_le_bytes());
    link
}

/// Takes the first frame off `bytes`. `after` is the number of the record before it, for the message.
pub(super) fn decode<'a>(bytes: &mut &'a [u8], after: u64) -> Result<Frame<'a>, Finding> {
    let damaged = || Finding::Unreadable { after };
    let whole = *bytes;
    let mut rest = whole;
    let [version] = take(&mut rest).ok_or_else(damaged)?;
    if version != VERSION && version != ONE_RECORD {
        return Err(Finding::Version { after, found: version });
    }
    let start = u64::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    let first = u64::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    let (count, header_len) = match version {
        VERSION => (Some(u32::from_le_bytes(take(&mut rest).ok_or_else(damaged)?)), HEADER_LEN),
        _ => (None, ONE_RECORD_HEADER_LEN),
    };
    let length = u32::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    let length =
        usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX).ok_or_else(damaged)?;
    let previous = Link(take(&mut rest).ok_or_else(damaged)?);
    let (body, mut rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let (hashed, _) = whole.split_at_checked(header_len + length).ok_or_else(damaged)?;
    let checksum = u32::from_le_bytes(take(&mut rest).ok_or_else(damaged)?);
    if checksum != crc32fast::hash(hashed) {
        return Err(Finding::Checksum { after });
    }
    *bytes = rest;
    let payloads = match count {
        Some(count) => payloads(body, count).ok_or_else(damaged)?,
        None => vec![body],
    };
    Ok(Frame { start, first, previous, payloads, link: Link::of(hashed) })
}

/// Exactly so many records, and nothing after them.
fn payloads(mut body: &[u8], count: u32) -> Option<Vec<&[u8]>> {
    // A count that cannot be is no reason to ask for memory.
    if count == 0 || usize::try_from(count).ok()? > body.len() / LENGTH_LEN {
        return None;
    }
    let mut payloads = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(u32::from_le_bytes(take(&mut body)?)).ok()?;
        let (payload, rest) = body.split_at_checked(length)?;
        payloads.push(payload);
        body = rest;
    }
    body.is_empty().then_some(payloads)
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

    fn frame(start: u64, first: u64, previous: Link, payloads: &[&[u8]]) -> (Vec<u8>, Link) {
        let mut bytes = vec![0; HEADER_LEN];
        payloads.iter().for_each(|payload| push(payload, &mut bytes));
        let link = seal(start, first, payloads.len() as u64, previous, &mut bytes);
        (bytes, link)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let (mut bytes, first) = frame(3, 1, GENESIS, &[b"one", b"", b"three"]);
        let (more, second) = frame(3, 4, first, &[b"four"]);
        bytes.extend(more);
        let mut rest = bytes.as_slice();
        let found = decode(&mut rest, 0).unwrap();
        assert_eq!((found.start, found.first, found.previous, found.link), (3, 1, GENESIS, first));
        assert_eq!(found.payloads, [&b"one"[..], b"", b"three"]);
        let found = decode(&mut rest, 3).unwrap();
        assert_eq!((found.first, found.previous, found.link), (4, first, second));
        assert!(rest.is_empty());
    }

    #[test]
    fn every_cut_and_every_flip_is_noticed() {
        let (bytes, _) = frame(3, 9, GENESIS, &[b"a record of some length", b"another"]);
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
    fn a_frame_that_adds_up_wrongly_is_damage_whatever_its_checksum_says() {
        for (first, count) in [(1, 0), (1, 1), (1, 3), (1, u64::from(u32::MAX))] {
            let mut bytes = vec![0; HEADER_LEN];
            [b"one", b"two"].iter().for_each(|payload| push(*payload, &mut bytes));
            seal(1, first, count, GENESIS, &mut bytes);
            assert!(decode(&mut bytes.as_slice(), 0).is_err(), "{count} records");
        }
    }

    #[test]
    fn the_format_stays_what_it_is() {
        let (bytes, link) = frame(1, 2, GENESIS, &[b"pay", b"me"]);
        let whole = "02\
                     0100000000000000\
                     0200000000000000\
                     02000000\
                     0d000000\
                     07070707070707070707070707070707\
                     03000000706179\
                     020000006d65";
        assert_eq!(hex(&bytes[..bytes.len() - 4]), whole);
        assert_eq!(
            (hex(&bytes[bytes.len() - 4..]), link.to_string()),
            ("1f33ff17".to_owned(), "1cd33fb3025f1e94f61dabd3ee8e613f".to_owned())
        );
    }

    #[test]
    fn a_frame_of_one_record_is_still_read() {
        let old = "01\
                   0100000000000000\
                   0200000000000000\
                   03000000\
                   07070707070707070707070707070707\
                   706179\
                   47788fb1";
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = old.as_bytes().chunks(2).map(byte).collect();
        let found = decode(&mut bytes.as_slice(), 1).unwrap();
        assert_eq!((found.start, found.first, found.previous), (1, 2, GENESIS));
        assert_eq!(
            (found.payloads, found.link.to_string()),
            (vec![&b"pay"[..]], "582ecdeb75b053621a31cbde94e2dd64".to_owned())
        );
    }
}
