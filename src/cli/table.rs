//! Answers as tables, for people.

use comfy_table::{Table, presets};
use serde_json::Value;

/// Fields whose `false` says something; any other that is false, empty or not set is left out.
const SHOWN_FALSE: [&str; 1] = ["enforced"];

/// What is set, one field per line.
pub fn fields(value: &Value) -> String {
    let mut table = plain_table();
    for (name, value) in value.as_object().into_iter().flatten() {
        if says_something(name, value) {
            let length = name.ends_with("_in").then(|| value.as_str().and_then(length)).flatten();
            table.add_row([name.as_str(), &length.unwrap_or_else(|| words(value))]);
        }
    }
    text(&table)
}

/// One line per row, the columns named `columns`: fields of the row.
pub fn rows<'a>(columns: &[&str], rows: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = plain_table();
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|column| row.get(column).map(words).unwrap_or_default()));
    }
    text(&table)
}

/// The list in the field named `field`.
pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A value in words: `subscription 2, on_demand 1`.
pub fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let set = map.iter().filter(|(name, value)| says_something(name, value));
            set.map(|(name, value)| format!("{name} {}", words(value))).collect::<Vec<_>>().join(", ")
        }
    }
}

/// A length of time of a second at least, as people say it, to its two largest units: `2591999.99s` = `29d 23h`.
fn length(seconds: &str) -> Option<String> {
    let mut rest: u64 = seconds.strip_suffix('s')?.split('.').next()?.parse().ok()?;
    let mut said = Vec::new();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        if rest >= unit {
            said.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    said.truncate(2);
    (!said.is_empty()).then(|| said.join(" "))
}

fn says_something(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes || SHOWN_FALSE.contains(&name),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => map.iter().any(|(name, value)| says_something(name, value)),
        Value::Number(_) => true,
    }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Without the blanks that pad the last column and indent the first.
fn text(table: &Table) -> String {
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_set_is_shown() {
        let value = json!({
            "decision": "ALLOWED", "reason": "", "held": "0", "final": false, "enforced": false,
            "paid_by": {"subscription": "2", "on_demand": "1"}, "soft_caps_reached": [],
        });
        assert_eq!(
            fields(&value),
            "decision  ALLOWED\nheld      0\nenforced  no\npaid_by   subscription 2, on_demand 1"
        );
    }

    #[test]
    fn lengths_of_time_are_said_as_people_say_them() {
        let said = ["2591999.994871s", "900s", "86400s", "3661.5s", "59.9s"].map(length);
        assert_eq!(said.map(Option::unwrap), ["29d 23h", "15m", "1d", "1h 1m", "59s"]);
        assert_eq!(["0.5s", "0s", "-3s", "soon", ""].map(length), [None, None, None, None, None]);
        let value = json!({ "period_ends_in": "900.5s", "retry_in": "0.5s", "note": "900s" });
        assert_eq!(fields(&value), "period_ends_in  15m\nretry_in        0.5s\nnote            900s");
    }

    #[test]
    fn rows_have_the_columns_that_were_asked_for() {
        let value =
            json!({"accounts": [{"account": "acme", "plan": "team"}, {"account": "b", "suspended": true}]});
        assert_eq!(
            rows(&["account", "plan", "suspended"], list(&value, "accounts")),
            "ACCOUNT  PLAN  SUSPENDED\nacme     team\nb              yes"
        );
    }
}
