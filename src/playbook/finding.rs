//! What a check has to say: each finding with its place, its reason and what to write instead.

use std::fmt;

use super::caution::Caution;
use super::meaning::Playbook;
use super::tree::Mark;

/// The most findings of one check; who has more than these to mend checks again.
pub const FINDINGS_MAX: usize = 500;

/// The most characters of a document that a message repeats.
const SHOWN_MAX: usize = 64;

/// A design choice of credit-based pricing: `Choice(5)` is C5, overage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice(pub u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The language does not allow it.
    Error,
    /// Allowed, and known to cost trust or money.
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub choice: Option<Choice>,
    /// Which warning it is.
    pub caution: Option<Caution>,
    /// `plans.basic.overage[1].soft`
    pub path: String,
    pub problem: String,
    /// Why it matters, in one sentence.
    pub why: &'static str,
    /// What to write instead.
    pub help: String,
}

/// Everything that a check found, in the order of lines.
#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// How many more there are past `FINDINGS_MAX`.
    pub omitted: usize,
    /// What the document means; only where nothing in it is an error.
    pub playbook: Option<Box<Playbook>>,
}

/// A report with the name of its file: one finding per paragraph, `FILE:LINE:COLUMN: error[C5]: …`.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    report: &'a Report,
    file: &'a str,
}

impl Report {
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }

    /// The choices' numbers of all findings of one kind, `-` where there is none, by number, `-` first.
    pub fn choices(&self, severity: Severity) -> Vec<String> {
        let mut choices: Vec<_> = self.of(severity).map(|finding| finding.choice).collect();
        choices.sort_unstable();
        choices.into_iter().map(|choice| choice.map_or_else(|| "-".to_owned(), |c| c.to_string())).collect()
    }

    /// Whether the document may be published.
    pub fn is_sound(&self) -> bool {
        self.playbook.is_some()
    }

    pub fn in_file<'a>(&'a self, file: &'a str) -> Shown<'a> {
        Shown { report: self, file }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", self.0)
    }
}

impl Severity {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.severity.word())?;
        if let Some(choice) = self.choice {
            write!(f, "[{choice}]")?;
        }
        write!(f, ": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.problem)?;
        write!(f, "\n  why: {}\n  help: {}", self.why, self.help)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.report.findings {
            writeln!(f, "{}:{finding}", self.file)?;
        }
        if self.report.omitted > 0 {
            writeln!(f, "{}: {} more findings", self.file, self.report.omitted)?;
        }
        Ok(())
    }
}

/// Where a value stands, and how it is reached from the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub mark: Mark,
    /// Where its key stands; in a list where the value does.
    pub key: Mark,
    pub path: String,
    pub choice: Option<Choice>,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    pub place: Place,
    pub value: T,
}

impl<T> At<T> {
    pub fn with<U>(&self, value: U) -> At<U> {
        At { place: self.place.clone(), value }
    }
}

/// Why a fault of writing matters, whatever the key: rules about one key say it in their own words.
pub mod why {
    pub const VALUE: &str = "what has to be guessed at would be billed by a guess.";
    pub const UNKNOWN: &str =
        "a key that nothing reads is a rule that nobody keeps, though whoever wrote it counts on it.";
    pub const MISSING: &str =
        "nothing can stand in for it: a default would be a price that nobody decided on.";
    pub const NAME: &str = "calls, balances and invoices carry the name, and must carry it unchanged.";
    pub const TWICE: &str = "one of the two would win, and readers would not agree which.";
    pub const BOUNDS: &str = "every decision looks at all of them, and a decision's time is bounded.";
    pub const YAML: &str = "a document that readers could take in two ways is no source of truth.";
    pub const IDLE: &str = "what has no effect misleads those who read it.";
}

/// Collects findings while a document is read.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    omitted: usize,
    refused: usize,
}

impl Findings {
    /// How many errors there are so far.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// Whether more findings are only counted, so that their wording need not be worked out.
    pub fn is_full(&self) -> bool {
        self.list.len() >= FINDINGS_MAX
    }

    pub fn error(&mut self, place: &Place, problem: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, place, place.mark, why::VALUE, problem.into(), help.into());
    }

    /// An error in the writing itself, which belongs to no choice: at the key where there is one.
    pub fn plain_error(
        &mut self,
        place: &Place,
        mark: Mark,
        problem: String,
        why: &'static str,
        help: String,
    ) {
        let place = Place { choice: None, ..place.clone() };
        self.push(Severity::Error, &place, mark, why, problem, help);
    }

    pub fn error_because(
        &mut self,
        place: &Place,
        problem: impl Into<String>,
        why: &'static str,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, place, place.mark, why, problem.into(), help.into());
    }

    pub fn warning(&mut self, place: &Place, caution: Caution, problem: String) {
        let place = Place { choice: Some(caution.choice()), ..place.clone() };
        let before = self.list.len();
        self.push(Severity::Warning, &place, place.mark, caution.why(), problem, caution.help().to_owned());
        self.list.iter_mut().skip(before).for_each(|finding| finding.caution = Some(caution));
    }

    fn push(
        &mut self,
        severity: Severity,
        place: &Place,
        mark: Mark,
        why: &'static str,
        problem: String,
        help: String,
    ) {
        if severity != Severity::Warning {
            self.refused += 1;
        }
        if self.is_full() {
            self.omitted += 1;
            return;
        }
        self.list.push(Finding {
            severity,
            line: mark.line,
            column: mark.column,
            choice: place.choice,
            caution: None,
            path: place.path.clone(),
            problem,
            why,
            help,
        });
    }

    pub fn report(mut self, playbook: Option<Playbook>) -> Report {
        self.list.sort_by_key(|finding| (finding.line, finding.column));
        let playbook = playbook.filter(|_| self.refused == 0).map(Box::new);
        Report { findings: self.list, omitted: self.omitted, playbook }
    }
}

/// A piece of the document for a message: short, and without control characters.
pub fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN_MAX).flat_map(printable).collect();
    if text.chars().count() > SHOWN_MAX {
        out.push('…');
    }
    out
}

fn printable(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_why_and_what_instead() {
        let mut findings = Findings::default();
        let place = Place {
            mark: Mark { line: 7, column: 12 },
            key: Mark { line: 7, column: 3 },
            path: "plans.basic.rollover".to_owned(),
            choice: Some(Choice(6)),
        };
        findings.warning(&place, Caution::EndlessRollover, "it never ends".to_owned());
        let key = Place { mark: place.key, ..place.clone() };
        findings.error_because(&key, "it never begins", "what never begins is no rule.", "leave it out");
        let report = findings.report(None);
        assert_eq!(
            report.in_file("p.yaml").to_string(),
            "p.yaml:7:3: error[C6]: plans.basic.rollover: it never begins\n  why: what never begins is no rule.\n  help: leave it out\n\
             p.yaml:7:12: warning[C6]: plans.basic.rollover: it never ends\n  why: what never ends is a debt of service that only grows.\n  \
             help: give it a number of `times` and a time that it `lasts`\n"
        );
        assert_eq!(report.choices(Severity::Warning), ["C6"]);
        assert_eq!(report.choices(Severity::Error), ["C6"]);
    }

    #[test]
    fn a_flood_of_findings_is_counted_not_kept() {
        let mut findings = Findings::default();
        for _ in 0..FINDINGS_MAX + 7 {
            findings.error(&Place::default(), "no", "yes");
        }
        let report = findings.report(None);
        assert_eq!((report.findings.len(), report.omitted), (FINDINGS_MAX, 7));
        assert!(report.in_file("x").to_string().ends_with("x: 7 more findings\n"));
    }

    #[test]
    fn a_message_repeats_little_and_nothing_invisible() {
        assert_eq!(shown("a\u{1b}[31m"), "a\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(70)).chars().count(), 65);
    }
}
