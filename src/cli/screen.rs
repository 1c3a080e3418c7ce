//! What is shown, and where: data on stdout, talk on stderr. No colours, so `NO_COLOR` has nothing to turn off.

use std::io::{self, Write};

use serde_json::Value;

use super::failure::Failure;
use super::table;
use crate::grpc::json::{Named, json, plain};

/// How to show things.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Data and errors as JSON.
    pub json: bool,
}

impl Screen {
    /// Data: one or more lines on stdout.
    pub fn print(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| end_line(&mut out, text));
        match written.and_then(|()| out.flush()) {
            // Who reads no further has what they wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::new(format!("cannot write to stdout: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Data for programs: one line.
    pub fn print_json(self, value: &Value) -> Result<(), Failure> {
        self.print(&value.to_string())
    }

    /// Talk for people, on stderr.
    pub fn say(self, text: &str) {
        // Where nobody listens, nothing is lost that a program would need.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Says on stderr why the command was not carried out.
    pub fn complain(self, failure: &Failure) {
        self.say(&if self.json { failure.json().to_string() } else { failure.to_string() });
    }

    /// An answer: as JSON whole, for people what is set, one field per line.
    pub fn answer<M: Named>(self, message: &M) -> Result<(), Failure> {
        self.answer_as(message, table::fields)
    }

    /// An answer: as JSON whole, for people as `people` writes it.
    pub fn answer_as<M: Named>(
        self,
        message: &M,
        people: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        if self.json { self.print_json(&json(message)) } else { self.print(&people(&plain(message))) }
    }
}

fn end_line(out: &mut impl Write, text: &str) -> io::Result<()> {
    if text.is_empty() || text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") }
}
