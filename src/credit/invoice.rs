//! Billing lines: what an account owes besides what its allowance pays for, for a billing system to collect.

use std::fmt::Write as _;

use minicbor::{Decode, Encode};

use crate::types::{Credits, Money, Name, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum LineKind {
    /// Billed in advance, or a share of it where a plan changed.
    #[n(0)]
    Fee,
    /// What a commitment falls short of.
    #[n(1)]
    Commitment,
    #[n(2)]
    Pack,
    /// Credits past the allowance, and debt that no later period can repay.
    #[n(3)]
    Overage,
    /// Money that goes back: its amount is what the customer gets.
    #[n(4)]
    Refund,
}

/// One line. A `fee` or an `overage` line below zero gives back what an earlier one billed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Line {
    #[n(0)]
    pub kind: LineKind,
    #[n(1)]
    pub at: Timestamp,
    #[n(2)]
    pub credits: Credits,
    /// In the currency of the account's playbook, discounts taken off.
    #[n(3)]
    pub amount: Money,
    /// The stretch that it is for.
    #[n(4)]
    pub from: Timestamp,
    #[n(5)]
    pub to: Option<Timestamp>,
    /// The plan, add-on or pack.
    #[n(6)]
    pub what: Option<Name>,
}

impl LineKind {
    pub const ALL: [Self; 5] = [Self::Fee, Self::Commitment, Self::Pack, Self::Overage, Self::Refund];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Fee => "fee",
            Self::Commitment => "commitment",
            Self::Pack => "pack",
            Self::Overage => "overage",
            Self::Refund => "refund",
        }
    }

    /// Whether a commitment's discount is taken off it, and it counts towards what was promised.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Fee | Self::Overage | Self::Pack)
    }
}

/// The columns of an export, in order.
pub const COLUMNS: [&str; 8] = ["account", "kind", "at", "from", "to", "what", "credits", "amount"];

/// A line by its columns; what it does not have is empty.
fn columns(account: &str, line: &Line) -> [String; 8] {
    [
        account.to_owned(),
        line.kind.word().to_owned(),
        line.at.to_string(),
        line.from.to_string(),
        line.to.map(|to| to.to_string()).unwrap_or_default(),
        line.what.as_ref().map(|what| what.as_str().to_owned()).unwrap_or_default(),
        line.credits.to_string(),
        line.amount.to_string(),
    ]
}

/// JSON lines: an object per line, amounts as strings so that no reader makes floats of them.
pub fn json_lines<'a>(account: &str, currency: &str, lines: impl IntoIterator<Item = &'a Line>) -> String {
    let mut out = String::new();
    for line in lines {
        out.push('{');
        for (name, value) in COLUMNS.iter().zip(columns(account, line)) {
            let _infallible = write!(out, "\"{name}\":\"{}\",", escaped(&value));
        }
        let _infallible = writeln!(out, "\"currency\":\"{}\"}}", escaped(currency));
    }
    out
}

/// RFC 4180, with a header.
pub fn csv<'a>(account: &str, currency: &str, lines: impl IntoIterator<Item = &'a Line>) -> String {
    let mut out = format!("{},currency\r\n", COLUMNS.join(","));
    for line in lines {
        for value in columns(account, line) {
            let _infallible = write!(out, "{},", field(&value));
        }
        let _infallible = write!(out, "{}\r\n", field(currency));
    }
    out
}

fn field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: Option<&str>) -> Line {
        Line {
            kind: LineKind::Pack,
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            credits: Credits::whole(1000),
            amount: "120.50".parse().unwrap(),
            from: "2026-01-02T03:04:05Z".parse().unwrap(),
            to: None,
            what: what.map(|what| Name::parse(what).unwrap()),
        }
    }

    #[test]
    fn a_billing_system_reads_lines_as_json_and_as_csv() {
        let lines = [line(Some("small")), line(None)];
        let json = json_lines("ac\"me", "EUR", &lines);
        let first = "{\"account\":\"ac\\\"me\",\"kind\":\"pack\",\"at\":\"2026-01-02T03:04:05Z\",\
                     \"from\":\"2026-01-02T03:04:05Z\",\"to\":\"\",\"what\":\"small\",\
                     \"credits\":\"1000\",\"amount\":\"120.5\",\"currency\":\"EUR\"}";
        assert_eq!(json.lines().next(), Some(first));
        assert_eq!(json.lines().count(), 2);
        let csv = csv("a,b\"c", "EUR", &lines);
        let rows: Vec<&str> = csv.split("\r\n").collect();
        assert_eq!(rows[0], "account,kind,at,from,to,what,credits,amount,currency");
        assert_eq!(
            rows[1],
            "\"a,b\"\"c\",pack,2026-01-02T03:04:05Z,2026-01-02T03:04:05Z,,small,1000,120.5,EUR"
        );
        assert_eq!(rows[3], "");
    }
}
