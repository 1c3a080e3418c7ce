//! What one look found.

use serde_json::{Value, json};

/// Where each check is explained.
const DOCUMENT: &str = "docs/doctor.md";

#[derive(Clone, Debug)]
pub struct Check {
    /// A heading of the documentation.
    pub name: &'static str,
    pub state: State,
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    /// It works, and something is not as it should be.
    Warning,
    Failed,
    /// There was nothing to look at, or something else has to be mended first.
    Skipped,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Check {
    pub fn ok(name: &'static str, found: String) -> Self {
        Self { name, state: State::Ok, found, advice: String::new() }
    }

    pub fn warning(name: &'static str, found: String, advice: String) -> Self {
        Self { name, state: State::Warning, found, advice }
    }

    pub fn failed(name: &'static str, found: String, advice: String) -> Self {
        Self { name, state: State::Failed, found, advice }
    }

    pub fn skipped(name: &'static str, found: String) -> Self {
        Self { name, state: State::Skipped, found, advice: String::new() }
    }

    fn link(&self) -> String {
        format!("{DOCUMENT}#{}", self.name)
    }

    pub fn json(&self) -> Value {
        json!({
            "check": self.name,
            "state": self.state.word(),
            "found": self.found,
            "advice": self.advice,
            "link": self.link(),
        })
    }

    /// What to do, for people; `None` where there is nothing to do.
    pub fn advised(&self) -> Option<String> {
        (!self.advice.is_empty()).then(|| format!("{}: {} ({})", self.name, self.advice, self.link()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do_only_where_there_is_something() {
        let well = Check::ok("clock", "it is right".to_owned());
        assert_eq!(well.advised(), None);
        let ill = Check::failed("clock", "it is wrong".to_owned(), "set it".to_owned());
        assert_eq!(ill.advised().as_deref(), Some("clock: set it (docs/doctor.md#clock)"));
        assert_eq!(ill.json()["state"], "failed");
    }
}
