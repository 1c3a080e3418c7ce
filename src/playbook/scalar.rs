//! Single values: each is the amount, name, word or length of time that it must be, or an error at its place.

use std::str::FromStr;

use rust_decimal::Decimal;

use super::finding::{At, Findings, shown};
use super::nearest::nearest;
use super::read::{Cursor, listed};
use crate::types::calendar::Every;
use crate::types::{AmountError, Credits, Length, Name, Percent, Quantity, Rounding};

/// Credits, or a share of something that the key names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Portion {
    Share(Percent),
    Credits(Credits),
}

impl Portion {
    /// What it is of `whole`, to the credit unit's scale: never more than the share.
    pub fn of(self, whole: Credits, scale: u32) -> Credits {
        match self {
            Self::Credits(credits) => credits,
            Self::Share(share) => {
                share.of(whole).and_then(|part| part.credits(scale, Rounding::Down)).unwrap_or_default()
            }
        }
    }
}

/// Periods of an allowance, a fee or a limit.
pub const PERIODS: &[(&str, Every)] = &[
    ("day", Every::Day),
    ("week", Every::Week),
    ("month", Every::Month),
    ("quarter", Every::Quarter),
    ("year", Every::Year),
];

/// Windows of a cap.
pub const WINDOWS: &[(&str, Every)] = &[
    ("minute", Every::Minute),
    ("hour", Every::Hour),
    ("day", Every::Day),
    ("week", Every::Week),
    ("month", Every::Month),
];

/// Every word that repeats.
pub const TIMES: &[(&str, Every)] = &[
    ("minute", Every::Minute),
    ("hour", Every::Hour),
    ("day", Every::Day),
    ("week", Every::Week),
    ("month", Every::Month),
    ("quarter", Every::Quarter),
    ("year", Every::Year),
];

pub const NAME_HELP: &str = "write a name of at most 128 bytes without control characters";

impl Cursor<'_> {
    pub fn text(&self, f: &mut Findings) -> Option<At<String>> {
        self.scalar(f, "text").map(|text| self.at(text.to_owned()))
    }

    pub fn name(&self, f: &mut Findings) -> Option<At<Name>> {
        let text = self.scalar(f, "a name")?;
        match Name::parse(text) {
            Ok(name) => Some(self.at(name)),
            Err(error) => self.refuse(f, format!("the name `{}` {error}", shown(text)), NAME_HELP),
        }
    }

    /// Zero or more: `Credits`, `Money` or `Quantity`.
    pub fn amount<T: FromStr<Err = AmountError>>(&self, f: &mut Findings) -> Option<At<T>> {
        const HELP: &str =
            "write digits, and a point if need be, such as `12.50`: no comma, no unit, no currency";
        let text = self.scalar(f, "an amount such as `12.50`")?;
        if text.starts_with('-') {
            return self.refuse(f, format!("`{}` is negative", shown(text)), "amounts are zero or more");
        }
        match text.parse() {
            Ok(amount) => Some(self.at(amount)),
            Err(AmountError::NotANumber(_)) => {
                self.refuse(f, format!("`{}` is not a decimal number", shown(text)), HELP)
            }
            Err(error) => self.refuse(f, error.to_string(), HELP),
        }
    }

    /// A factor: zero or more, within the bounds of an amount.
    pub fn factor(&self, f: &mut Findings) -> Option<At<Decimal>> {
        self.amount::<Quantity>(f).map(|amount| amount.with(amount.value.decimal()))
    }

    pub fn whole(&self, f: &mut Findings, least: u32) -> Option<At<u32>> {
        let text = self.scalar(f, "a whole number")?;
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        match text.parse().ok().filter(|number| digits && *number >= least) {
            Some(number) => Some(self.at(number)),
            None => {
                let problem = format!("`{}` is not a whole number from {least} to {}", shown(text), u32::MAX);
                self.refuse(f, problem, format!("write a number such as `{}`", least.max(3)))
            }
        }
    }

    pub fn flag(&self, f: &mut Findings) -> Option<At<bool>> {
        let text = self.scalar(f, "`true` or `false`")?;
        match truth(self.raw()) {
            Some(flag) => Some(self.at(flag)),
            None => self.refuse(
                f,
                format!("`{}` is not `true` or `false`", shown(text)),
                "write `true` or `false`, unquoted; `yes` and `on` are only words in YAML 1.2",
            ),
        }
    }

    /// A share of at most 100%, if `bounded`.
    pub fn percent(&self, f: &mut Findings, bounded: bool) -> Option<At<Percent>> {
        let text = self.scalar(f, "a percentage such as `15%`")?;
        match text.parse::<Percent>() {
            Ok(percent) if bounded && percent > Percent::FULL => {
                self.refuse(f, format!("`{}` is more than all of it", shown(text)), "write at most `100%`")
            }
            Ok(percent) => Some(self.at(percent)),
            Err(_) => {
                let problem = format!("`{}` is not a percentage", shown(text));
                self.refuse(f, problem, "write a percentage such as `15%`")
            }
        }
    }

    pub fn portion(&self, f: &mut Findings, bounded: bool) -> Option<At<Portion>> {
        let text = self.scalar(f, "credits or a percentage")?;
        if text.ends_with('%') {
            self.percent(f, bounded).map(|share| share.with(Portion::Share(share.value)))
        } else {
            self.amount(f).map(|credits| credits.with(Portion::Credits(credits.value)))
        }
    }

    /// A length of time above zero.
    pub fn length(&self, f: &mut Findings) -> Option<At<Length>> {
        let length = self.any_length(f)?;
        if length.value.approximate_micros() > 0 {
            return Some(length);
        }
        self.refuse(
            f,
            format!("`{}` is no time at all", length.value),
            "write a length above zero, such as `10m`",
        )
    }

    /// A length that a running clock can count, for months differ in length; zero, if `or_zero`.
    pub fn exact_length(&self, f: &mut Findings, or_zero: bool) -> Option<At<Length>> {
        let length = if or_zero { self.any_length(f)? } else { self.length(f)? };
        match length.value {
            Length::Exact(_) => Some(length),
            Length::Months(_) => {
                let problem = format!(
                    "`{}` depends on the calendar, and this is counted on a running clock",
                    length.value
                );
                self.refuse(f, problem, "write it in days, hours, minutes or seconds")
            }
        }
    }

    fn any_length(&self, f: &mut Findings) -> Option<At<Length>> {
        let text = self.scalar(f, "a length of time such as `10m`")?;
        match text.parse() {
            Ok(length) => Some(self.at(length)),
            Err(_) => self.refuse(
                f,
                format!("`{}` is not a length of time up to a hundred years", shown(text)),
                "write a whole number of `s` (seconds), `m` (minutes), `h`, `d`, `mo` (months) or `y`, such as `14d`",
            ),
        }
    }

    /// A length of time, or one of some words.
    pub fn length_or<T: Clone + From<Length>>(&self, f: &mut Findings, words: &[(&str, T)]) -> Option<At<T>> {
        let text = self.scalar(f, "a length of time or a word")?;
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return self.length(f).map(|length| length.with(length.value.into()));
        }
        self.word_also(f, words, "or a length of time such as `14d`")
    }

    pub fn every(&self, f: &mut Findings, words: &[(&str, Every)]) -> Option<At<Every>> {
        let text = self.scalar(f, "a word such as `month`, or a length of time")?;
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return self.length(f).map(|length| length.with(Every::Length(length.value)));
        }
        self.word_also(f, words, "or a length of time such as `14d`")
    }

    /// One of some words.
    pub fn word<T: Clone>(&self, f: &mut Findings, words: &[(&str, T)]) -> Option<At<T>> {
        self.word_also(f, words, "")
    }

    /// One of some words; `also` says in a message what the caller takes besides.
    pub fn word_also<T: Clone>(&self, f: &mut Findings, words: &[(&str, T)], also: &str) -> Option<At<T>> {
        let known = || words.iter().map(|(word, _)| *word);
        let text = self.scalar(f, &one_of(known(), also))?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(self.at(value.clone()));
        }
        let help = match nearest(text, known()) {
            Some(meant) => format!("did you mean `{meant}`? It is {}", one_of(known(), also)),
            None => format!("write {}", one_of(known(), also)),
        };
        self.refuse(f, format!("`{}` is not known here", shown(text)), help)
    }
}

/// `true` and `false` as YAML 1.2 writes them.
pub fn truth(raw: Option<(&str, bool)>) -> Option<bool> {
    match raw {
        Some(("true" | "True" | "TRUE", true)) => Some(true),
        Some(("false" | "False" | "FALSE", true)) => Some(false),
        _ => None,
    }
}

fn one_of<'w>(words: impl Iterator<Item = &'w str>, also: &str) -> String {
    let also = if also.is_empty() { String::new() } else { format!(", {also}") };
    format!("one of {}{also}", listed(words))
}
