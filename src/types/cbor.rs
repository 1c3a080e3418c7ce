//! Writing CBOR into memory.

use std::convert::Infallible;

use minicbor::Encode;
use minicbor::encode::Write;

/// Appends a value's CBOR.
pub fn write<T: Encode<()>>(value: T, out: &mut Vec<u8>) {
    // Memory takes everything.
    let _ = minicbor::encode(value, Memory(out));
}

/// A `Vec` whose writes are put in line: most are of a byte or two, and shorter than a call.
struct Memory<'a>(&'a mut Vec<u8>);

impl Write for Memory<'_> {
    type Error = Infallible;

    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
