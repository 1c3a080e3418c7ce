//! A command that waits for its account's turn. It may have to run again, so it says what it does, not what it did.

use tokio::sync::oneshot;

use super::slot::Part;
use super::store::Ticket;
use crate::engine::account::Work;
use crate::grpc::ledger_api::LedgerError;
use crate::telemetry::Trace;

/// What came of a command.
#[derive(Debug)]
pub struct Worked<T> {
    pub answer: T,
    /// What the answer rests on is durable once this is.
    pub ticket: Ticket,
}

/// A command, without the type of its answer.
pub trait Job: Send {
    fn part(&self) -> Part;

    /// Whether an account may begin with it.
    fn opens(&self) -> bool;

    /// The span that it was asked under.
    fn trace(&self) -> Option<&Trace>;

    /// Each run replaces the answer of the one before.
    fn run(&mut self, work: &mut Work<'_>);

    /// Answers whoever waits.
    fn end(self: Box<Self>, end: Result<Ticket, LedgerError>);
}

/// The waiting end of a command.
pub type Waits<T> = oneshot::Receiver<Result<Worked<T>, LedgerError>>;

struct Typed<T, F> {
    part: Part,
    opens: bool,
    trace: Option<Trace>,
    act: F,
    answer: Option<T>,
    done: oneshot::Sender<Result<Worked<T>, LedgerError>>,
}

/// Makes a command of what it does.
pub fn job<T, F>(part: Part, opens: bool, act: F) -> (Box<dyn Job>, Waits<T>)
where
    T: Send + 'static,
    F: FnMut(&mut Work<'_>) -> T + Send + 'static,
{
    let (done, waits) = oneshot::channel();
    (Box::new(Typed { part, opens, trace: Trace::current(), act, answer: None, done }), waits)
}

impl<T: Send, F: FnMut(&mut Work<'_>) -> T + Send> Job for Typed<T, F> {
    fn part(&self) -> Part {
        self.part
    }

    fn opens(&self) -> bool {
        self.opens
    }

    fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    fn run(&mut self, work: &mut Work<'_>) {
        self.answer = Some((self.act)(work));
    }

    fn end(self: Box<Self>, end: Result<Ticket, LedgerError>) {
        let Self { answer, done, .. } = *self;
        let ended = end.and_then(|ticket| {
            // A turn ends well only for what it ran.
            let answer = answer.ok_or(LedgerError::Overloaded)?;
            Ok(Worked { answer, ticket })
        });
        // Whoever asked may have gone; what was done stands.
        let _gone = done.send(ended);
    }
}
