//! `bursar account invoice`

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::pages::PageArgs;
use crate::cli::read;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::client::wire_timestamp;
use crate::grpc::json::json;
use crate::grpc::proto::ledger_v1::{ListInvoiceLinesRequest, ListInvoiceLinesResponse};
use crate::types::Timestamp;

/// How lines are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

#[derive(Clone, Debug, Args)]
pub struct InvoiceArgs {
    /// The account
    account: String,

    /// Only lines made at or after this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    from: Option<Timestamp>,

    /// Only lines made before this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    to: Option<Timestamp>,

    /// For a billing system: JSON lines, or CSV with a header; every amount as it was written, never a float
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,

    #[command(flatten)]
    pages: PageArgs,

    #[command(flatten)]
    ledger: LedgerArgs,
}

const COLUMNS: [&str; 9] =
    ["number", "kind", "what", "credits", "amount", "currency", "covers_from", "covers_to", "open"];

impl InvoiceArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.ledger.connect().await?;
        let request = ListInvoiceLinesRequest {
            account: self.account.clone(),
            from: self.from.map(wire_timestamp),
            to: self.to.map(wire_timestamp),
            ..ListInvoiceLinesRequest::default()
        };
        let mut all = ListInvoiceLinesResponse::default();
        let mut page = self.pages.start();
        while let Some((page_size, page_token)) = page.next() {
            let request = ListInvoiceLinesRequest { page_size, page_token, ..request.clone() };
            let answer = ledger.invoice_lines(request).await?;
            page.took(answer.lines.len(), &answer.next_page_token);
            all.lines.extend(answer.lines);
        }
        all.next_page_token = page.rest(screen);
        if let Some(format) = self.format {
            return screen.print(&exported(format, &self.account, &all)).map(|()| Exit::Success);
        }
        screen.answer_as(&all, |value| table::rows(&COLUMNS, table::list(value, "lines")))?;
        Ok(Exit::Success)
    }
}

/// One record per line, each with its account: lines of several accounts may be put together.
fn exported(format: Format, account: &str, lines: &ListInvoiceLinesResponse) -> String {
    let records = lines.lines.iter().map(|line| record(account, &json(line)));
    match format {
        Format::Jsonl => records.map(|record| format!("{}\n", Value::Object(record))).collect(),
        Format::Csv => {
            let mut text = format!("{}\r\n", EXPORTED.join(","));
            for record in records {
                let fields = EXPORTED.iter().map(|column| record.get(*column).map(csv).unwrap_or_default());
                text += &fields.collect::<Vec<_>>().join(",");
                text += "\r\n";
            }
            text
        }
    }
}

const EXPORTED: [&str; 11] = [
    "account",
    "number",
    "kind",
    "credits",
    "amount",
    "currency",
    "made_at",
    "covers_from",
    "covers_to",
    "what",
    "open",
];

/// The fields of a line in the order of `EXPORTED`; its kind as a plain word.
fn record(account: &str, line: &Value) -> serde_json::Map<String, Value> {
    let field = |column: &&str| match *column {
        "account" => account.into(),
        "kind" => line
            .get("kind")
            .and_then(Value::as_str)
            .map_or(Value::Null, |kind| kind.trim_start_matches("INVOICE_LINE_KIND_").to_lowercase().into()),
        column => line.get(column).cloned().unwrap_or(Value::Null),
    };
    EXPORTED.iter().map(|column| ((*column).to_owned(), field(column))).collect()
}

/// A field as RFC 4180 has it.
fn csv(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::proto::ledger_v1::InvoiceLine;

    #[test]
    fn a_billing_system_reads_json_lines_and_csv() {
        let line = InvoiceLine {
            number: 3,
            kind: 4,
            credits: "2500".to_owned(),
            amount: "97.50".to_owned(),
            currency: "USD".to_owned(),
            covers_from: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
            ..InvoiceLine::default()
        };
        let all = ListInvoiceLinesResponse { lines: vec![line], next_page_token: String::new() };
        let jsonl = exported(Format::Jsonl, "acme, \"inc\"", &all);
        let read: Value = serde_json::from_str(jsonl.trim_end()).unwrap();
        assert_eq!(
            (&read["account"], &read["kind"], &read["amount"]),
            (&"acme, \"inc\"".into(), &"overage".into(), &"97.50".into())
        );
        assert_eq!(
            exported(Format::Csv, "acme, \"inc\"", &all),
            "account,number,kind,credits,amount,currency,made_at,covers_from,covers_to,what,open\r\n\
             \"acme, \"\"inc\"\"\",3,overage,2500,97.50,USD,,2026-01-01T00:00:00Z,,,false\r\n"
        );
    }
}
