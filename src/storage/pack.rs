//! The bytes of a batch as sled keeps them. Records of one batch are much alike, and sled writes each byte several times:
//! packing costs less than writing.
//!
//! `128 u8 | length u32, little-endian | LZ4 block`, or the frames as they are, which begin with their version: 1 or 2.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use super::frame::{FRAME_BYTES_MAX, take};

const PACKED: u8 = 128;
const HEADER_LEN: usize = 1 + 4;

/// Shorter batches are kept as they are: a record or two have little in common.
const WORTH_BYTES: usize = 512;

/// What is stored for a batch; `out` is memory that is used again and again.
pub(super) fn pack<'a>(bytes: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
    let Ok(length) = u32::try_from(bytes.len()) else { return bytes };
    if bytes.len() < WORTH_BYTES {
        return bytes;
    }
    out.clear();
    out.push(PACKED);
    out.extend_from_slice(&length.to_le_bytes());
    out.resize(HEADER_LEN + get_maximum_output_size(bytes.len()), 0);
    let packed = out.get_mut(HEADER_LEN..).and_then(|room| compress_into(bytes, room).ok());
    match packed.and_then(|packed| out.get(..HEADER_LEN + packed)) {
        Some(packed) if packed.len() < bytes.len() => packed,
        _ => bytes,
    }
}

/// The frames of a batch; `None` where what is stored is damaged.
pub(super) fn unpack(stored: Vec<u8>) -> Option<Vec<u8>> {
    let mut rest = stored.as_slice();
    let [PACKED] = take::<1>(&mut rest)? else { return Some(stored) };
    let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let mut bytes = vec![0; length];
    let unpacked = decompress_into(rest, &mut bytes).ok()?;
    (unpacked == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let mut memory = Vec::new();
        let alike = [1, 7, 7, 7, 9].repeat(1000);
        let packed = pack(&alike, &mut memory).to_vec();
        assert!(packed.len() * 10 < alike.len());
        assert_eq!(unpack(packed), Some(alike));
        let short = vec![1; WORTH_BYTES - 1];
        assert_eq!(pack(&short, &mut memory), short);
        let unlike: Vec<u8> = std::iter::once(1).chain((0..900).map(noise)).collect();
        assert_eq!(pack(&unlike, &mut memory), unlike, "what does not get shorter stays as it is");
        assert_eq!(unpack(unlike.clone()), Some(unlike));
    }

    fn noise(n: u64) -> u8 {
        blake3::hash(&n.to_le_bytes()).as_bytes()[0]
    }

    #[test]
    fn damage_is_noticed_or_harmless() {
        let alike = [1, 7, 7, 7, 9].repeat(200);
        let mut memory = Vec::new();
        let packed = pack(&alike, &mut memory).to_vec();
        for cut in 0..packed.len() {
            assert_ne!(unpack(packed[..cut].to_vec()), Some(alike.clone()), "cut at {cut}");
        }
        let mut long = packed;
        long[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(unpack(long), None, "a length that no batch has is not even tried");
    }
}
