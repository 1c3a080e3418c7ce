//! C14: limits per scope and window.

use super::meaning::Plan;
use crate::types::calendar::Every;
use crate::types::{Credits, Name};

#[derive(Clone, Debug, PartialEq)]
pub struct Cap {
    pub name: Name,
    pub per: Scope,
    /// A glob over the scope's name; `None` = all.
    pub matches: Option<Glob>,
    pub measure: Measure,
    pub soft: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Account,
    Team,
    User,
    Agent,
    Action,
    /// A `run_id`, or without one the root run, with all its descendants and retries.
    Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Credits, in a window or (per run) for as long as the run's budget is known.
    Credits { limit: Credits, window: Option<CapWindow> },
    /// Runs, not credits; a released run gives its place back.
    Runs { limit: u32, window: Option<CapWindow> },
    /// Open root runs; with `per: run` the open children of one root.
    Concurrent { limit: u32 },
}

/// A calendar window in the account's time zone; a length counts from the subscription's start.
pub type CapWindow = Every;

/// A pattern in which `*` stands for any run of characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(pub String);

impl Cap {
    pub fn limit(&self) -> Credits {
        match self.measure {
            Measure::Credits { limit, .. } => limit,
            Measure::Runs { limit, .. } | Measure::Concurrent { limit } => Credits::whole(limit.into()),
        }
    }

    pub fn window(&self) -> Option<CapWindow> {
        match self.measure {
            Measure::Credits { window, .. } | Measure::Runs { window, .. } => window,
            Measure::Concurrent { .. } => None,
        }
    }
}

impl Glob {
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text): (Vec<char>, Vec<char>) = (self.0.chars().collect(), text.chars().collect());
        let (mut p, mut t, mut star) = (0, 0, None);
        while t < text.len() {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(c) if *c == '?' || text.get(t) == Some(c) => {
                    p += 1;
                    t += 1;
                }
                _ => match star {
                    Some((at, from)) => {
                        p = at + 1;
                        t = from + 1;
                        star = Some((at, from + 1));
                    }
                    None => return false,
                },
            }
        }
        pattern.get(p..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
    }
}

/// The cap of a plan by its name.
pub fn named<'a>(plan: &'a Plan, name: &str) -> Option<&'a Cap> {
    plan.caps.iter().find(|cap| cap.name.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, yes) in [
            ("research-*", "research-1", true),
            ("research-*", "writer-1", false),
            ("*.email", "draft.email", true),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "x", false),
        ] {
            assert_eq!(Glob(pattern.to_owned()).matches(text), yes, "{pattern} {text}");
        }
    }
}
