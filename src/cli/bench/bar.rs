//! How far it is, while it runs: on a terminal's stderr, and nowhere else.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::tally::Tally;
use crate::cli::screen::Screen;
use crate::runtime::Boottime;

/// Between two looks: smooth for the eye, nothing for the load.
const PERIOD: Duration = Duration::from_millis(100);

/// A bar that is drawn, or nothing.
#[derive(Debug, Default)]
pub struct Bar(Option<Drawn>);

#[derive(Debug)]
struct Drawn {
    bar: ProgressBar,
    began: Boottime,
    next: Boottime,
}

impl Bar {
    /// A bar from `began` to `ends`, where someone looks at it.
    pub fn new(screen: Screen, began: Boottime, ends: Boottime) -> Self {
        if screen.json || !stderr().is_terminal() {
            return Self::default();
        }
        let bar = ProgressBar::new(millis(ends.since(began)));
        // The template is a constant: where it could not be read, the library's own is drawn.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
            bar.set_style(style);
        }
        Self(Some(Drawn { bar, began, next: began }))
    }

    /// Draws it, where that is due; gives when to look again.
    pub fn show(&mut self, now: Boottime, tally: &Tally) -> Option<Boottime> {
        let Drawn { bar, began, next } = self.0.as_mut()?;
        if now >= *next {
            let Tally { answered, failed, .. } = tally;
            bar.set_position(millis(now.since(*began)));
            bar.set_message(format!("{answered} answered, {failed} failed"));
            *next = now.plus(PERIOD);
        }
        Some(*next)
    }

    /// Leaves the line as it was.
    pub fn clear(&mut self) {
        if let Some(Drawn { bar, .. }) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
