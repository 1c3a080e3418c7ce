//! Why a command was not carried out: one line of what is wrong, then what helps.

use std::fmt;
use std::io;

use serde_json::{Value, json};

use super::advice;
use super::exit::Exit;
use crate::config::Faults;
use crate::grpc::call_error::CallError;

/// One failure.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    help: Vec<String>,
    call: Option<Box<CallError>>,
}

impl Failure {
    pub fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, what: what.into(), help: Vec::new(), call: None }
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }

    /// What would help, in one sentence.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// What a ledger found in a document, at the lines of the file that it came from.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        let call = self.call.iter().filter(|call| call.reason == "PLAYBOOK_INVALID");
        let found =
            call.flat_map(|call| &call.violations).filter(|(field, _)| field.starts_with("document:"));
        let found: Vec<String> = found.map(|(_, finding)| format!("\n{file}:{finding}")).collect();
        if !found.is_empty() {
            let summary = self.what.lines().next().unwrap_or_default();
            self.what = format!("{summary}{}", found.concat());
        }
        self
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The reason of the call's error, where a call failed.
    pub fn reason(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.reason.as_str())
    }

    /// Whether a call was made and may have been carried out, unseen.
    pub fn may_have_happened(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.may_have_happened())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut error = json!({ "message": self.what, "help": self.help });
        if let (Some(call), Some(error)) = (&self.call, error.as_object_mut()) {
            let violations = call.violations.iter();
            error.insert("message".to_owned(), json!(call.message));
            error.insert("code".to_owned(), json!(call.code));
            error.insert("reason".to_owned(), json!(call.reason));
            error.insert("metadata".to_owned(), json!(call.metadata));
            error.insert(
                "field_violations".to_owned(),
                violations
                    .map(|(field, description)| json!({ "field": field, "description": description }))
                    .collect(),
            );
            if let Some(retry) = call.retry {
                error.insert("retry_in".to_owned(), json!(format!("{}s", retry.as_secs_f64())));
            }
        }
        json!({ "error": error })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        let violations = self.call.iter().flat_map(|call| &call.violations);
        // A server's message may say already what is wrong with the only field at fault.
        for (field, description) in violations.filter(|(_, description)| !self.what.contains(description)) {
            write!(f, "\n  {field}: {description}")?;
        }
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self {
            exit: if error.is_unavailable() { Exit::Unavailable } else { Exit::Failure },
            what: error.to_string(),
            help: advice::on(&error),
            call: Some(Box::new(error)),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::usage(faults.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let failure = Self::new(format!("{error:#}"));
        let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
        if causes.any(|cause| cause.kind() == io::ErrorKind::AddrInUse) {
            return failure.help("another process listens there; port 0 chooses a free one");
        }
        failure
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[test]
    fn findings_stand_in_the_file_that_was_sent() {
        let finding = "31:2: error[C5]: plans.a: no\n  why: so.\n  help: yes";
        let error = CallError {
            code: "INVALID_ARGUMENT",
            reason: "PLAYBOOK_INVALID".to_owned(),
            message: format!("the playbook is refused, 1 error\ndocument:{finding}"),
            metadata: BTreeMap::new(),
            violations: vec![("document:31".to_owned(), finding.to_owned())],
            retry: None,
        };
        let shown = Failure::from(error).in_file("a.yaml").to_string();
        let start = "error: PLAYBOOK_INVALID: the playbook is refused, 1 error\na.yaml:31:2: error[C5]: plans.a: no\n";
        assert!(shown.starts_with(start) && !shown.contains("document"), "{shown}");
    }

    #[test]
    fn says_what_is_wrong_then_each_field_then_what_helps() {
        let error = CallError {
            code: "UNAVAILABLE",
            reason: "OVERLOADED".to_owned(),
            message: "too many calls".to_owned(),
            metadata: BTreeMap::new(),
            violations: vec![("quantity".to_owned(), "is empty".to_owned())],
            retry: Some(Duration::from_millis(500)),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert_eq!(
            failure.to_string(),
            "error: OVERLOADED: too many calls\n  quantity: is empty\n  help: try again in 500ms"
        );
        let shown = failure.json();
        assert_eq!(shown["error"]["reason"], "OVERLOADED");
        assert_eq!(shown["error"]["field_violations"][0]["field"], "quantity");
        assert_eq!(shown["error"]["retry_in"], "0.5s");
    }
}
