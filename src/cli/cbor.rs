//! A record's bytes, readable: CBOR as JSON, whoever wrote it.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use serde_json::{Map, Value};

/// Deeper than any record; a damaged one must not exhaust the stack.
const DEPTH_MAX: usize = 64;

/// The value that the bytes hold; an error says why they hold none.
///
/// Bytes are written as hexadecimal digits, or counted where they are many; keys that are not text as their text.
pub fn json(bytes: &[u8]) -> Result<Value, String> {
    let mut decoder = Decoder::new(bytes);
    let value = value(&mut decoder, DEPTH_MAX).map_err(|error| error.to_string())?;
    let left = bytes.len().saturating_sub(decoder.position());
    if left == 0 { Ok(value) } else { Err(format!("{left} bytes follow the value")) }
}

fn value(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, Error> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::message("too many levels"));
    };
    match decoder.datatype()? {
        Type::Array | Type::ArrayIndef => {
            let length = decoder.array()?;
            let mut list = Vec::new();
            while more(decoder, length, list.len())? {
                list.push(value(decoder, depth)?);
            }
            Ok(Value::Array(list))
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map()?;
            let (mut map, mut entries) = (Map::new(), 0);
            while more(decoder, length, entries)? {
                let key = match value(decoder, depth)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                map.insert(key, value(decoder, depth)?);
                entries += 1;
            }
            Ok(Value::Object(map))
        }
        Type::Tag => {
            decoder.tag()?;
            value(decoder, depth)
        }
        Type::Bytes => decoder.bytes().map(hex),
        Type::BytesIndef => Ok(hex(&decoder.bytes_iter()?.collect::<Result<Vec<_>, _>>()?.concat())),
        Type::String => Ok(Value::String(decoder.str()?.to_owned())),
        Type::StringIndef => decoder.str_iter()?.collect::<Result<String, _>>().map(Value::String),
        Type::Bool => decoder.bool().map(Value::Bool),
        Type::Null | Type::Undefined => decoder.skip().map(|()| Value::Null),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => decoder.u64().map(Value::from),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => decoder.i64().map(Value::from),
        Type::Int => decoder.int().map(|number| Value::String(number.to_string())),
        other => Err(Error::type_mismatch(other)),
    }
}

/// Ids are shown whole. What is longer may be a key or hold one, and a dump is read by more people than a journal.
const SHOWN_LEN_MAX: usize = 16;

fn hex(bytes: &[u8]) -> Value {
    if bytes.len() > SHOWN_LEN_MAX {
        return Value::String(format!("({} bytes)", bytes.len()));
    }
    Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether the collection goes on; the end of one without a length is taken.
fn more(decoder: &mut Decoder<'_>, length: Option<u64>, so_far: usize) -> Result<bool, Error> {
    if let Some(length) = length {
        return Ok((so_far as u64) < length);
    }
    if decoder.datatype()? == Type::Break {
        decoder.skip()?;
        return Ok(false);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use minicbor::Encoder;
    use serde_json::json as expected;

    use super::*;

    #[test]
    fn every_shape_of_a_record_is_read() {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes);
        encoder.array(7).unwrap().u8(1).unwrap().i64(-2).unwrap().str("acme").unwrap().null().unwrap();
        encoder.bytes(&[1, 255]).unwrap().bytes(&[7; 32]).unwrap();
        encoder.begin_map().unwrap().u8(0).unwrap().bool(true).unwrap().end().unwrap();
        assert_eq!(json(&bytes), Ok(expected!([1, -2, "acme", null, "01ff", "(32 bytes)", {"0": true}])));
    }

    #[test]
    fn damage_is_said_and_never_shown_as_a_value() {
        for bytes in [&[][..], &[0x82, 1], &[1, 1], &[0x81; 100], &[0xff]] {
            assert!(json(bytes).is_err(), "{bytes:?}");
        }
    }
}
