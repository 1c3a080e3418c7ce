//! The trace context that a call brings: W3C `traceparent`, read strictly.

/// Length of version 00, and of the part of any later version that means the same.
const LEN: usize = 55;

/// Where in a trace a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Never all zero.
    pub trace_id: [u8; 16],
    /// The caller's span; never all zero.
    pub span_id: [u8; 8],
    /// The caller records its span.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header's bytes; `None` where it is not exactly what the standard allows, which the standard wants
    /// treated as if there were none.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (fixed, rest) = header.split_first_chunk::<LEN>()?;
        let (version, fields) = fixed.split_first_chunk::<2>()?;
        let [version] = hex(version)?;
        // A later version may go on after another hyphen; version 00 may not, and ff is none.
        let whole = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        let (trace_id, fields) = field::<32, 16>(fields)?;
        let (span_id, fields) = field::<16, 8>(fields)?;
        let ([flags], _) = field::<2, 1>(fields)?;
        let valid = whole && trace_id != [0; 16] && span_id != [0; 8];
        valid.then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

/// A hyphen and `N` hexadecimal digits.
fn field<const N: usize, const M: usize>(bytes: &[u8]) -> Option<([u8; M], &[u8])> {
    let (digits, rest) = bytes.strip_prefix(b"-")?.split_first_chunk::<N>()?;
    Some((hex(digits)?, rest))
}

/// Lower-case hexadecimal digits only, as the standard has it.
fn hex<const N: usize, const M: usize>(digits: &[u8; N]) -> Option<[u8; M]> {
    let mut bytes = [0; M];
    let mut wrong = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(digit);
        wrong |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (wrong & 0xf0 == 0).then_some(bytes)
}

/// The digit's value, or a value with its upper bits set.
const fn digit(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character - b'0',
        b'a'..=b'f' => character - b'a' + 10,
        _ => 0xff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn reads_what_the_standard_allows() {
        for (header, sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-00"), false),
            (format!("00-{TRACE}-{SPAN}-03"), true),
            (format!("00-{TRACE}-{SPAN}-fe"), false),
            (format!("cc-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"), true),
        ] {
            let parent = TraceParent::parse(header.as_bytes()).unwrap_or_else(|| panic!("{header}"));
            assert_eq!(parent.trace_id[..4], [0x4b, 0xf9, 0x2f, 0x35], "{header}");
            assert_eq!(parent.span_id, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7], "{header}");
            assert_eq!(parent.sampled, sampled, "{header}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let zero = "0".repeat(32);
        for header in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("cc-{TRACE}-{SPAN}-01.more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zero}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-g1"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.replace("4736", "473z")),
        ] {
            assert_eq!(TraceParent::parse(header.as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn every_byte_matters() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        for at in 0..good.len() {
            for wrong in [b'G', b'F', b' ', 0x80, b'/', b':', b'`', b'g'] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] = wrong;
                assert_eq!(TraceParent::parse(&bytes), None, "byte {at} = {wrong}");
            }
        }
    }
}
