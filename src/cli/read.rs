//! Values on the command line. Each parser says what would be right.

use std::path::Path;
use std::time::Duration;

use crate::config::{Endpoint, value};
use crate::types::Timestamp;

/// Longer than anything that a message may ask for; shorter than what it can say.
const SPAN_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// `unix:PATH`, `unix:///PATH`, `http://HOST:PORT` or `https://HOST:PORT`.
pub fn endpoint(text: &str) -> Result<Endpoint, String> {
    let Some(path) = text.strip_prefix("unix:") else {
        return value::endpoint(text).map_err(|what| what.replace("unix:///", "unix:/"));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    match value::socket(path)? {
        Some(path) => {
            super::connection::socket(&path).map_err(|error| format!("is no path that can be found: {error}"))
        }
        None => Err("is not the path of a socket, such as `unix:/run/bursar/bursar.sock`".to_owned()),
    }
}

/// A length of time above zero.
pub fn span(text: &str) -> Result<Duration, String> {
    value::duration(text, Duration::from_millis(1)..=SPAN_MAX)
}

/// An instant, such as `2026-01-31T00:00:00Z`.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "is not an instant such as `2026-01-31T00:00:00Z`".to_owned())
}

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("is not `NAME=VALUE`, such as `input_tokens=1200`".to_owned()),
    }
}

/// Text, or with `@FILE` what is in the file.
pub fn text_or_file(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(Path::new(path)).map_err(|error| format!("cannot be read: {error}"))
        }
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_may_be_relative_and_become_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(endpoint("unix:a/b.sock"), Ok(Endpoint::Unix(here.join("a/b.sock"))));
        for text in ["unix:/run/b.sock", "unix:///run/b.sock"] {
            assert_eq!(endpoint(text), Ok(Endpoint::Unix("/run/b.sock".into())));
        }
        assert_eq!(endpoint("http://[::1]:7401"), Ok(Endpoint::Http("[::1]:7401".to_owned())));
        for text in ["", "unix:", "unix:none", "127.0.0.1:7401", "https://sidecar", "tcp:1"] {
            assert!(endpoint(text).is_err(), "`{text}`");
        }
    }

    #[test]
    fn pairs_have_a_name() {
        assert_eq!(pair("model=large"), Ok(("model".to_owned(), "large".to_owned())));
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        for text in ["", "a", "=1"] {
            assert!(pair(text).is_err(), "`{text}`");
        }
    }

    #[test]
    fn spans_and_instants() {
        assert_eq!(span("15m"), Ok(Duration::from_secs(900)));
        assert!(span("0s").is_err() && span("soon").is_err());
        assert!(instant("2026-01-31T00:00:00Z").is_ok() && instant("yesterday").is_err());
    }
}
