//! The network between sidecars and ledger: every message has a delay of its own, so that they overtake each other; in
//! bad times some are lost, and some come twice. A watch alone keeps its order, as a stream does, or ends.

use super::agenda::Event;
use super::message::{Address, Answers, Asks, Message, Question, Refusal, Told};
use super::world::World;
use crate::engine::account::RunAsk;

/// The way of a message, in microseconds: mostly this, seldom more.
const USUAL: (i64, i64) = (100, 3_000);
const SELDOM: (i64, i64) = (3_000, 30_000);
/// In bad times one in four takes so long.
const SLOW: (i64, i64) = (50_000, 4_000_000);

/// In bad times one in so many is lost, or comes twice.
const LOST: usize = 12;
const TWICE: usize = 10;

/// A watch that says nothing is found out by keep-alives.
const KEEPALIVE: (i64, i64) = (5_000_000, 15_000_000);

#[derive(Debug, Default)]
pub struct Network {
    /// Cut off, by node: what it sends, and what it is sent.
    pub sends_nothing: Vec<bool>,
    pub hears_nothing: Vec<bool>,
    /// Messages are slow, lost, and come twice.
    pub is_bad: bool,
    /// When what each node's watch was told last arrives.
    told: Vec<i64>,
}

impl Network {
    pub fn new(nodes: usize) -> Self {
        Self {
            sends_nothing: vec![false; nodes],
            hears_nothing: vec![false; nodes],
            is_bad: false,
            told: vec![0; nodes],
        }
    }

    pub fn is_whole(&self) -> bool {
        !self.is_bad && !self.sends_nothing.iter().chain(&self.hears_nothing).any(|cut| *cut)
    }

    fn cut(list: &[bool], node: usize) -> bool {
        list.get(node).copied().unwrap_or(true)
    }
}

impl World {
    fn way(&mut self) -> i64 {
        let (least, most) = match self.dice.below(16) {
            0..4 if self.network.is_bad => SLOW,
            15 => SELDOM,
            _ => USUAL,
        };
        self.dice.between(least, most)
    }

    fn send(&mut self, message: Message) {
        self.messages += 1;
        if self.network.is_bad && self.dice.one_in(LOST) {
            return;
        }
        if self.network.is_bad && self.dice.one_in(TWICE) && may_come_twice(&message) {
            let at = self.now + self.way();
            self.agenda.plan(at, Event::Message(Box::new(message.clone())));
        }
        let at = self.now + self.way();
        self.agenda.plan(at, Event::Message(Box::new(message)));
    }

    pub fn ask_ledger(&mut self, question: Question) {
        if !Network::cut(&self.network.sends_nothing, question.from.node) {
            self.send(Message::Question(question));
        }
    }

    pub fn answer_node(&mut self, to: Address, rpc: u64, what: Answers) {
        if !Network::cut(&self.network.hears_nothing, to.node) {
            self.send(Message::Answer { to, rpc, what });
        }
    }

    /// A stream is in order and whole, or it ends.
    pub fn tell_node(&mut self, to: Address, watch: u64, what: Told) {
        self.messages += 1;
        let lost = self.network.is_bad && self.dice.one_in(LOST);
        if lost || Network::cut(&self.network.hears_nothing, to.node) {
            let at = self.now + self.dice.between(KEEPALIVE.0, KEEPALIVE.1);
            self.ledger.watches.retain(|_, known| known.number != watch);
            self.agenda.plan(at, Event::WatchLost(to, watch));
            return;
        }
        let at = self.now + self.way();
        if let Some(last) = self.network.told.get_mut(to.node) {
            *last = at.max(*last);
            self.agenda.plan(*last, Event::Message(Box::new(Message::Told { to, watch, what })));
        }
    }

    pub fn deliver(&mut self, message: Message) {
        match message {
            Message::Question(question) if self.ledger.is_up => self.serve(question),
            Message::Question(question) => {
                // Nobody listens there: the asker hears so at once, or never.
                if self.dice.one_in(2) {
                    self.answer_node(question.from, question.rpc, Answers::Refused(Refusal::Overloaded));
                }
            }
            Message::Answer { to, rpc, what } => {
                if self.nodes.get(to.node).is_some_and(|node| node.is_at(to)) {
                    self.hear_answer(to, rpc, what);
                }
            }
            Message::Told { to, watch, what } => {
                let listens = self.nodes.get(to.node).is_some_and(|node| {
                    node.is_at(to) && node.process.as_ref().is_some_and(|process| process.watch == watch)
                });
                if listens {
                    self.hear_told(to.node, what);
                }
            }
        }
    }
}

/// Nobody puts the question again whether a run may begin: where it came a second time, when there is more than at the
/// first, it would begin a run that was refused. A watch is a stream, and a stream begins once. Late and lost they may be.
fn may_come_twice(message: &Message) -> bool {
    let Message::Question(question) = message else { return true };
    match &question.what {
        Asks::Decide(_, ask, _) => !matches!(**ask, RunAsk::Authorize(_)),
        Asks::Watch => false,
        _ => true,
    }
}
