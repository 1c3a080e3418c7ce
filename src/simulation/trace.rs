//! What happened in a world, as one hash; and, where it is looked for, the last of it in words.

use std::collections::VecDeque;

use super::agenda::Event;
use super::message::Message;

/// Words kept: enough to see what led to a problem.
const LINES_MAX: usize = 120;

/// Characters of a line.
const LINE_MAX: usize = 1500;

#[derive(Debug, Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    /// Whether words are kept, too: that takes time.
    pub speaks: bool,
    /// Words that do not name this are not kept.
    pub about: Option<String>,
    lines: VecDeque<String>,
}

impl Trace {
    pub fn event(&mut self, now: i64, event: &Event) {
        self.hasher.update(&now.to_le_bytes());
        self.hasher.update(kind(event));
        if self.speaks {
            let said = match event {
                Event::Written(life, through, then) if then.is_empty() => {
                    format!("Written({life}, {through})")
                }
                event => format!("{event:?}"),
            };
            self.say(now, &said);
        }
    }

    /// An entry of an account's journal: its link stands for all before it.
    pub fn link(&mut self, link: &[u8; 32]) {
        self.hasher.update(link);
    }

    /// What a caller was answered.
    pub fn answer(&mut self, now: i64, said: impl FnOnce() -> String) {
        if self.speaks {
            let said = said();
            self.say(now, &said);
        }
    }

    pub fn say(&mut self, now: i64, said: &str) {
        if !self.speaks || self.about.as_ref().is_some_and(|about| !said.contains(about.as_str())) {
            return;
        }
        self.lines.push_back(format!("{} {}", Seconds(now), said.chars().take(LINE_MAX).collect::<String>()));
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
    }

    pub fn hash(&self) -> String {
        self.hasher.finalize().to_hex().chars().take(16).collect()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

struct Seconds(i64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>6}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

const fn kind(event: &Event) -> &'static [u8] {
    match event {
        Event::Message(message) => match **message {
            Message::Question(_) => b"question",
            Message::Answer { .. } => b"answer",
            Message::Told { .. } => b"told",
        },
        Event::Look(_) => b"look",
        Event::Flushed(..) => b"flushed",
        Event::Report(_) => b"report",
        Event::Relink(_) => b"relink",
        Event::WatchLost(..) => b"watch lost",
        Event::Expired(_) => b"expired",
        Event::Deadline(_) => b"deadline",
        Event::Turn(_) => b"turn",
        Event::LedgerLook(_) => b"ledger look",
        Event::Written(..) => b"written",
        Event::JobOver(..) => b"job over",
        Event::Caller => b"caller",
        Event::Ends(_) => b"ends",
        Event::Trouble => b"trouble",
        Event::Restart(_) => b"restart",
        Event::LedgerUp => b"ledger up",
        Event::Heal(_) => b"heal",
        Event::Crash(..) => b"crash",
        Event::Quiet => b"quiet",
    }
}
