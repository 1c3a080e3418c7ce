//! The JSON Schema of the document, for editors, from the same shape that the reader reads: `docs/playbook.schema.json`
//! is a copy.

use std::collections::BTreeSet;

use serde_json::{Map as Object, Value, json};

use crate::playbook::shape::whole::DOCUMENT;
use crate::playbook::shape::{Key, Kind, Map};

/// What only `check` knows (names that lead nowhere, numbers against each other) is not in it.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

fn schema() -> Value {
    let mut maps = Maps::default();
    maps.of(&DOCUMENT);
    let mut definitions = Object::new();
    for map in maps.found {
        definitions.insert(slug(map.name), object(map));
    }
    let mut whole = definitions.remove(&slug(DOCUMENT.name)).unwrap_or_default();
    if let Some(whole) = whole.as_object_mut() {
        whole.shift_insert(0, "$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        whole.shift_insert(1, "title".to_owned(), json!("A playbook of Bursar"));
        whole.insert("$defs".to_owned(), Value::Object(definitions));
    }
    whole
}

/// All maps that can be reached, each once, in the order in which they are met.
#[derive(Default)]
pub struct Maps {
    pub found: Vec<&'static Map>,
    seen: BTreeSet<&'static str>,
}

impl Maps {
    pub fn of(&mut self, map: &'static Map) {
        if self.seen.insert(map.name) {
            self.found.push(map);
            map.keys.iter().for_each(|key| self.kind(&key.kind));
        }
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Map(map) => self.of(map),
            Kind::Named(inner) | Kind::List(inner, _) => self.kind(inner),
            Kind::OneOf(kinds) => kinds.iter().for_each(|kind| self.kind(kind)),
            _ => {}
        }
    }
}

/// A name that can stand in a reference.
pub fn slug(name: &str) -> String {
    let kept = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' });
    kept.collect::<String>().trim_matches('-').replace("--", "-")
}

fn object(map: &'static Map) -> Value {
    let mut object = Object::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("description".to_owned(), json!(map.says));
    let keys = map.keys.iter().map(|key| (key.name.to_owned(), property(key)));
    object.insert("properties".to_owned(), Value::Object(keys.collect()));
    let others = map.others.map_or(Value::Bool(false), schema_of);
    object.insert("additionalProperties".to_owned(), others);
    let required: Vec<_> = map.keys.iter().filter(|key| map.requires(key)).map(|key| key.name).collect();
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    if !map.one_of.is_empty() {
        let one_of: Vec<_> = map.one_of.iter().map(|key| json!({ "required": [key] })).collect();
        object.insert("oneOf".to_owned(), Value::Array(one_of));
    }
    Value::Object(object)
}

fn property(key: &Key) -> Value {
    let mut schema = schema_of(&key.kind);
    if let Some(schema) = schema.as_object_mut() {
        let choice = key.choice.map_or_else(String::new, |choice| format!(" ({choice})"));
        let default =
            if key.default.is_empty() { String::new() } else { format!(" Default: {}.", key.default) };
        schema.insert("description".to_owned(), json!(format!("{}{default}{choice}", key.says)));
    }
    schema
}

/// Digits and perhaps a point; at most 9 places, as an amount has.
const AMOUNT: &str = r"^[0-9]+(\.[0-9]{1,9})?$";
const PERCENT: &str = r"^[0-9]+(\.[0-9]+)?%$";

/// What no name may have.
const NAME: &str = r"^[^\u0000-\u001f\u007f]+$";

fn schema_of(kind: &Kind) -> Value {
    match kind {
        // Unquoted, a name may look like a number.
        Kind::Name => {
            json!({ "type": ["string", "number", "boolean"], "minLength": 1, "maxLength": 128, "pattern": NAME })
        }
        Kind::Text | Kind::Dimension => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Instant => json!({ "type": "string", "format": "date-time" }),
        Kind::Currency => json!({ "type": "string", "pattern": "^[A-Z]{3}$" }),
        Kind::Whole { least, most } => whole(*least, *most),
        Kind::Amount => {
            json!({ "type": ["number", "string"], "minimum": 0, "pattern": AMOUNT })
        }
        Kind::Positive => {
            json!({ "type": ["number", "string"], "exclusiveMinimum": 0, "pattern": AMOUNT })
        }
        Kind::Percent { .. } => json!({ "type": "string", "pattern": PERCENT }),
        Kind::Multiple => json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?x$" }),
        Kind::Length { exact: true, .. } => json!({ "type": "string", "pattern": "^[0-9]+(s|m|h|d)$" }),
        Kind::Length { exact: false, .. } => {
            json!({ "type": "string", "pattern": "^[0-9]+(s|m|h|d|mo|y)$" })
        }
        Kind::Words(words) => json!({ "enum": words }),
        Kind::Map(map) => json!({ "$ref": format!("#/$defs/{}", slug(map.name)) }),
        Kind::Named(inner) => json!({
            "type": "object",
            "propertyNames": { "minLength": 1, "maxLength": 128, "pattern": NAME },
            "additionalProperties": schema_of(inner),
        }),
        Kind::List(inner, most) => json!({ "type": "array", "items": schema_of(inner), "maxItems": most }),
        Kind::OneOf(kinds) => json!({ "anyOf": kinds.iter().map(schema_of).collect::<Vec<_>>() }),
        Kind::Feature => json!({ "type": ["string", "number", "boolean", "array", "object"] }),
    }
}

/// Numbers may stand in quotes, too.
fn whole(least: u32, most: u32) -> Value {
    if least == most {
        return json!({ "enum": [least, least.to_string()] });
    }
    json!({ "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^[0-9]+$" })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_the_code_s() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/playbook.schema.json");
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == super::text(), "run `bursar playbook schema > docs/playbook.schema.json`");
    }
}
