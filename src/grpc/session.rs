//! Calls pipelined over one stream. A request is answered where it is read, if it can be; what has to wait becomes a task of
//! its own, which goes on though the client reads no answers: others may wait for what it holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::Status;

use super::call::Call;
use super::convert::{Invalid, Violation};
use super::entitlement::Entitlement;
use super::entitlement_api::{Entitlements, Refused};
use super::proto::v1;
use super::proto::v1::session_request::Request;
use super::proto::v1::session_response::Answer;
use super::status::{as_fault, of_fault, of_invalid, of_refused};
use crate::engine::fault::Fault;
use crate::runtime::Shutdown;

/// Requests of one session that wait for their answers at most: beyond them the session is read no further, so that a
/// client that asks faster than the disk writes is slowed down and not refused.
const WAITING_MAX: usize = 1024;

/// Requests read and answers given in one go at most; then the thread's other streams have their turn.
const IN_A_ROW_MAX: usize = 32;

type Answered = Result<Answer, Status>;

/// The answers to a session's requests, of which `answer` makes one.
pub(super) struct Session<R, A, F> {
    /// `None` = no more are read.
    requests: Option<R>,
    answer: A,
    /// Where the work on a request was that was answered at once, as nearly all are: room for the next one's.
    spare: Option<Pin<Box<F>>>,
    waiting: JoinSet<v1::SessionResponse>,
    in_a_row: usize,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What the stream ends with once nothing waits, if it is not the client that ended it.
    end: Option<Status>,
}

/// A session with `service`. It ends by itself once the process stops, which it would keep from stopping.
pub(super) fn session<E: Entitlements>(
    service: Arc<Entitlement<E>>,
    requests: impl Stream<Item = Result<v1::SessionRequest, Status>> + Send + Unpin,
    stop: Shutdown,
) -> impl Stream<Item = Result<v1::SessionResponse, Status>> + Send {
    let answer = move |call, request| answer(Arc::clone(&service), call, request);
    Session::new(requests, answer, async move { stop.requested().await })
}

/// The work of rare calls has room of its own: a session's is as large as the largest in it.
async fn answer<E: Entitlements>(service: Arc<Entitlement<E>>, call: Call, request: Request) -> Answered {
    match request {
        Request::Authorize(message) => service.authorize(call, message).await.map(Answer::Authorize),
        Request::BatchAuthorize(message) => {
            Box::pin(service.batch_authorize(call, message)).await.map(Answer::BatchAuthorize)
        }
        Request::Progress(message) => Box::pin(service.progress(call, message)).await.map(Answer::Progress),
        Request::Commit(message) => service.commit(call, message).await.map(Answer::Commit),
        Request::Release(message) => Box::pin(service.release(call, message)).await.map(Answer::Release),
        Request::Record(message) => Box::pin(service.record(call, message)).await.map(Answer::Record),
        Request::GetReservation(message) => {
            Box::pin(service.get_reservation(call, message)).await.map(Answer::GetReservation)
        }
        Request::ListReservations(message) => {
            Box::pin(service.list_reservations(call, message)).await.map(Answer::ListReservations)
        }
        Request::GetBalance(message) => {
            Box::pin(service.get_balance(call, message)).await.map(Answer::GetBalance)
        }
        Request::GetFeatures(message) => {
            Box::pin(service.get_features(call, message)).await.map(Answer::GetFeatures)
        }
    }
}

impl<R, A, F> Session<R, A, F>
where
    R: Stream<Item = Result<v1::SessionRequest, Status>> + Unpin,
    A: Fn(Call, Request) -> F + Unpin,
    F: Future<Output = Answered> + Send + 'static,
{
    fn new(requests: R, answer: A, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            requests: Some(requests),
            answer,
            spare: None,
            waiting: JoinSet::new(),
            in_a_row: 0,
            stop: Box::pin(stop),
            end: None,
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<v1::SessionResponse, Status>>> {
        while self.in_a_row < IN_A_ROW_MAX {
            self.in_a_row += 1;
            match self.waiting.poll_join_next(cx) {
                Poll::Ready(Some(Ok(response))) => return Poll::Ready(Some(Ok(response))),
                // Nobody but a runtime that ends takes a task away.
                Poll::Ready(Some(Err(_))) => continue,
                Poll::Ready(None) if self.requests.is_none() => {
                    return Poll::Ready(self.end.take().map(Err));
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            let has_room = self.waiting.len() < WAITING_MAX;
            let Some(requests) = self.requests.as_mut().filter(|_| has_room) else { return Poll::Pending };
            match ready!(Pin::new(requests).poll_next(cx)) {
                Some(Ok(request)) => {
                    if let Some(response) = self.begin(request, cx) {
                        return Poll::Ready(Some(Ok(response)));
                    }
                }
                Some(Err(why)) => self.close(Some(why)),
                None => self.close(None),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing more is read; what waits is answered.
    fn close(&mut self, end: Option<Status>) {
        self.requests = None;
        self.end = end;
    }

    /// The answer, unless it has to wait.
    fn begin(&mut self, request: v1::SessionRequest, cx: &mut Context<'_>) -> Option<v1::SessionResponse> {
        let v1::SessionRequest { sequence, traceparent, timeout, request } = request;
        let timeout = match time(timeout) {
            Ok(timeout) => timeout,
            Err(why) => return Some(response(sequence, Err(why))),
        };
        let Some(request) = request else {
            let why = Status::unimplemented("the frame holds no request that this sidecar knows");
            return Some(response(sequence, Err(why)));
        };
        // These are answered once they are on disk: trying them here would be in vain.
        let waits = matches!(request, Request::Commit(_) | Request::Release(_) | Request::Record(_));
        let work = (self.answer)(Call::new(timeout, traceparent.as_bytes()), request);
        let mut work = match self.spare.take() {
            Some(mut spare) => {
                spare.set(work);
                spare
            }
            None => Box::pin(work),
        };
        if !waits && let Poll::Ready(answered) = contained(work.as_mut(), cx) {
            self.spare = Some(work);
            return Some(response(sequence, answered));
        }
        self.waiting.spawn(async move { response(sequence, awaited(work, timeout).await) });
        None
    }
}

impl<R, A, F> Stream for Session<R, A, F>
where
    R: Stream<Item = Result<v1::SessionRequest, Status>> + Unpin,
    A: Fn(Call, Request) -> F + Unpin,
    F: Future<Output = Answered> + Send + 'static,
{
    type Item = Result<v1::SessionResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = this.poll_answer(cx);
        if polled.is_ready() {
            return polled;
        }
        this.in_a_row = 0;
        if this.requests.is_some() && this.stop.as_mut().poll(cx).is_ready() {
            this.close(Some(of_refused(&Refused::NotReady(
                "the sidecar stops; ask again what has no answer",
            ))));
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

fn response(sequence: u64, answered: Answered) -> v1::SessionResponse {
    let answer = answered.unwrap_or_else(|why| Answer::Fault(as_fault(&why)));
    v1::SessionResponse { sequence, answer: Some(answer) }
}

fn time(timeout: Option<prost_types::Duration>) -> Result<Option<Duration>, Status> {
    let invalid = |_| {
        let what = "is no length of time; give zero or more, or leave it out".to_owned();
        of_invalid(Invalid(vec![Violation { reason: "INVALID_TIMEOUT", field: "timeout".to_owned(), what }]))
    };
    timeout.map(Duration::try_from).transpose().map_err(invalid)
}

/// The answer once it is there. When the caller's time is over the work ends where it is, as that of a call does.
async fn awaited<F: Future<Output = Answered>>(mut work: Pin<Box<F>>, timeout: Option<Duration>) -> Answered {
    let answered = std::future::poll_fn(|cx| contained(work.as_mut(), cx));
    let Some(timeout) = timeout else { return answered.await };
    let late =
        |_| Err(Status::deadline_exceeded("the request's time is over; whether it was done is not known"));
    tokio::time::timeout(timeout, answered).await.unwrap_or_else(late)
}

/// A bug that one request meets is that one's fault, and no other's.
fn contained<F: Future<Output = Answered>>(work: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Answered> {
    let polled = catch_unwind(AssertUnwindSafe(|| work.poll(cx)));
    polled.unwrap_or_else(|_| Poll::Ready(Err(of_fault(&Fault::Broken("the request met a bug".to_owned())))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{mpsc, oneshot, watch};
    use tokio_stream::StreamExt;
    use tokio_stream::wrappers::UnboundedReceiverStream;
    use tonic::Code;

    use super::*;

    type Requests = mpsc::UnboundedSender<Result<v1::SessionRequest, Status>>;
    type Answers = Pin<Box<dyn Stream<Item = Result<v1::SessionResponse, Status>> + Send>>;

    /// A session with somebody who answers about the account `now` at once and about others once they are let.
    struct Rig {
        requests: Option<Requests>,
        answers: Answers,
        let_through: watch::Sender<BTreeSet<String>>,
        stop: Option<oneshot::Sender<()>>,
        begun: Arc<AtomicUsize>,
        done: Arc<AtomicUsize>,
        calls: mpsc::UnboundedReceiver<Call>,
    }

    impl Rig {
        fn new() -> Self {
            let (requests, read) = mpsc::unbounded_channel();
            let (let_through, open) = watch::channel(BTreeSet::new());
            let (stop, stopped) = oneshot::channel();
            let (heard, calls) = mpsc::unbounded_channel();
            let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let answer = {
                let (begun, done) = (Arc::clone(&begun), Arc::clone(&done));
                move |call, request| {
                    begun.fetch_add(1, Ordering::Relaxed);
                    heard.send(call).unwrap();
                    let (mut open, done) = (open.clone(), Arc::clone(&done));
                    async move {
                        let account = match request {
                            Request::GetFeatures(message) => message.account,
                            Request::Commit(message) => message.reservation,
                            other => panic!("{other:?}"),
                        };
                        if account != "now" {
                            open.wait_for(|open| open.contains(&account)).await.unwrap();
                        }
                        assert!(!account.starts_with("bug"));
                        done.fetch_add(1, Ordering::Relaxed);
                        let answer = v1::GetFeaturesResponse { plan: account, ..Default::default() };
                        Ok(Answer::GetFeatures(answer))
                    }
                }
            };
            let ended = async move {
                stopped.await.unwrap();
            };
            let session = Session::new(UnboundedReceiverStream::new(read), answer, ended);
            let (requests, stop, answers) = (Some(requests), Some(stop), Box::pin(session));
            Self { requests, answers, let_through, stop, begun, done, calls }
        }

        fn ask(&self, sequence: u64, account: &str) {
            self.send(v1::SessionRequest { request: features(account), ..frame(sequence) });
        }

        fn send(&self, request: v1::SessionRequest) {
            self.requests.as_ref().unwrap().send(Ok(request)).unwrap();
        }

        fn let_through(&self, account: &str) {
            self.let_through.send_modify(|open| {
                open.insert(account.to_owned());
            });
        }

        async fn next(&mut self) -> (u64, Result<String, v1::Fault>) {
            let response = self.answers.next().await.unwrap().unwrap();
            let answer = match response.answer.unwrap() {
                Answer::GetFeatures(answer) => Ok(answer.plan),
                Answer::Fault(fault) => Err(fault),
                other => panic!("{other:?}"),
            };
            (response.sequence, answer)
        }

        async fn fault(&mut self) -> (u64, Code, String) {
            let (sequence, answer) = self.next().await;
            let fault = answer.unwrap_err();
            (sequence, Code::from(fault.code), fault.reason)
        }

        /// Everything that is answered by now.
        async fn ready(&mut self) -> usize {
            let mut count = 0;
            while let Poll::Ready(Some(_)) = self.look().await {
                count += 1;
            }
            count
        }

        async fn look(&mut self) -> Poll<Option<Result<v1::SessionResponse, Status>>> {
            // What waits are tasks of this thread.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            std::future::poll_fn(|cx| Poll::Ready(self.answers.as_mut().poll_next(cx))).await
        }
    }

    fn frame(sequence: u64) -> v1::SessionRequest {
        v1::SessionRequest { sequence, ..Default::default() }
    }

    fn features(account: &str) -> Option<Request> {
        Some(Request::GetFeatures(v1::GetFeaturesRequest { account: account.to_owned() }))
    }

    fn millis(millis: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 })
    }

    #[tokio::test]
    async fn answers_come_in_the_order_in_which_they_are_ready() {
        let mut rig = Rig::new();
        rig.ask(1, "a");
        rig.ask(2, "b");
        rig.ask(3, "now");
        assert_eq!(rig.next().await, (3, Ok("now".to_owned())));
        rig.let_through("b");
        assert_eq!(rig.next().await, (2, Ok("b".to_owned())));
        rig.ask(4, "now");
        assert_eq!(rig.next().await, (4, Ok("now".to_owned())));
        rig.let_through("a");
        assert_eq!(rig.next().await, (1, Ok("a".to_owned())));
    }

    #[tokio::test]
    async fn what_waits_for_the_disk_is_not_waited_for() {
        let mut rig = Rig::new();
        let commit = v1::CommitRequest { reservation: "now".to_owned(), ..Default::default() };
        rig.send(v1::SessionRequest { request: Some(Request::Commit(commit)), ..frame(1) });
        rig.ask(2, "now");
        assert_eq!(rig.next().await.0, 2);
        assert_eq!(rig.next().await.0, 1);
    }

    #[tokio::test]
    async fn what_waits_goes_on_though_nobody_reads_the_answers() {
        let mut rig = Rig::new();
        rig.ask(1, "a");
        assert!(rig.look().await.is_pending());
        rig.let_through("a");
        while rig.done.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.next().await.0, 1);
    }

    #[tokio::test]
    async fn a_session_with_too_much_waiting_is_read_no_further_until_something_is_answered() {
        let mut rig = Rig::new();
        for sequence in 0..WAITING_MAX as u64 {
            rig.ask(sequence, if sequence == 7 { "a" } else { "b" });
        }
        rig.ask(WAITING_MAX as u64, "now");
        for _ in 0..2 * WAITING_MAX / IN_A_ROW_MAX {
            assert_eq!(rig.ready().await, 0);
        }
        assert_eq!(rig.begun.load(Ordering::Relaxed), WAITING_MAX);
        rig.let_through("a");
        assert_eq!(rig.next().await, (7, Ok("a".to_owned())));
        assert_eq!(rig.next().await, (WAITING_MAX as u64, Ok("now".to_owned())));
        rig.let_through("b");
        for _ in 1..WAITING_MAX {
            assert_eq!(rig.next().await.1, Ok("b".to_owned()));
        }
    }

    #[tokio::test]
    async fn what_waits_is_answered_after_the_last_request() {
        let mut rig = Rig::new();
        rig.ask(1, "a");
        rig.ask(2, "a");
        rig.requests = None;
        assert!(rig.look().await.is_pending());
        rig.let_through("a");
        let mut answered = [rig.next().await.0, rig.next().await.0];
        answered.sort_unstable();
        assert_eq!(answered, [1, 2]);
        assert!(rig.answers.next().await.is_none());
    }

    #[tokio::test]
    async fn a_frame_that_cannot_be_read_ends_the_session_after_what_waits() {
        let mut rig = Rig::new();
        rig.ask(1, "a");
        rig.requests.as_ref().unwrap().send(Err(Status::internal("no message"))).unwrap();
        rig.ask(2, "now");
        assert!(rig.look().await.is_pending());
        rig.let_through("a");
        assert_eq!(rig.next().await.0, 1);
        assert_eq!(rig.answers.next().await.unwrap().unwrap_err().code(), Code::Internal);
        assert!(rig.answers.next().await.is_none());
        assert_eq!(rig.begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_stop_ends_a_session_after_what_waits() {
        for idle in [true, false] {
            let mut rig = Rig::new();
            if !idle {
                rig.ask(1, "a");
            }
            assert!(rig.look().await.is_pending());
            rig.stop.take().unwrap().send(()).unwrap();
            assert!(rig.look().await.is_pending());
            assert!(rig.requests.as_ref().unwrap().is_closed());
            rig.let_through("a");
            if !idle {
                assert_eq!(rig.next().await.0, 1);
            }
            let end = as_fault(&rig.answers.next().await.unwrap().unwrap_err());
            assert_eq!((Code::from(end.code), end.reason.as_str()), (Code::Unavailable, "NOT_READY"));
            assert!(rig.answers.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn the_stop_is_heard_by_a_session_that_never_pauses() {
        let mut rig = Rig::new();
        rig.stop.take().unwrap().send(()).unwrap();
        for sequence in 0..2 * IN_A_ROW_MAX as u64 {
            rig.ask(sequence, "now");
        }
        let mut answered = 0;
        while let Some(Ok(_)) = rig.answers.next().await {
            answered += 1;
        }
        assert_eq!(answered, IN_A_ROW_MAX);
    }

    #[tokio::test]
    async fn others_have_their_turn() {
        let mut rig = Rig::new();
        for sequence in 0..3 * IN_A_ROW_MAX as u64 {
            rig.ask(sequence, "now");
        }
        for _ in 0..3 {
            assert_eq!(rig.ready().await, IN_A_ROW_MAX);
        }
        assert_eq!(rig.ready().await, 0);
    }

    #[tokio::test]
    async fn what_is_wrong_with_one_request_is_that_ones_fault() {
        let mut rig = Rig::new();
        rig.send(frame(1));
        assert_eq!(rig.fault().await, (1, Code::Unimplemented, String::new()));
        rig.send(v1::SessionRequest { timeout: millis(-1), request: features("now"), ..frame(2) });
        assert_eq!(rig.fault().await, (2, Code::InvalidArgument, "INVALID_TIMEOUT".to_owned()));
        rig.let_through("bug");
        for sequence in [3, 4] {
            rig.ask(sequence, "bug");
            assert_eq!(rig.fault().await.1, Code::Internal);
        }
        rig.ask(5, "bug-later");
        assert!(rig.look().await.is_pending());
        rig.let_through("bug-later");
        assert_eq!(rig.fault().await.1, Code::Internal);
        rig.ask(6, "now");
        assert_eq!(rig.next().await, (6, Ok("now".to_owned())));
    }

    #[tokio::test]
    async fn each_request_has_its_own_deadline_and_place_in_a_trace() {
        let mut rig = Rig::new();
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        rig.send(v1::SessionRequest {
            timeout: millis(20),
            traceparent: traceparent.to_owned(),
            request: features("a"),
            ..frame(1)
        });
        rig.ask(2, "a");
        rig.send(v1::SessionRequest { timeout: millis(0), request: features("now"), ..frame(3) });
        assert_eq!(rig.next().await.0, 3);
        assert_eq!(rig.fault().await, (1, Code::DeadlineExceeded, String::new()));
        rig.let_through("a");
        assert_eq!(rig.next().await, (2, Ok("a".to_owned())));
        assert_eq!(rig.done.load(Ordering::Relaxed), 2);
        let first = Call::new(Some(Duration::from_millis(20)), traceparent.as_bytes());
        assert!(first.parent.is_some());
        let at_once = Call::new(Some(Duration::ZERO), b"");
        for call in [first, Call::default(), at_once] {
            assert_eq!(rig.calls.recv().await, Some(call));
        }
    }
}
