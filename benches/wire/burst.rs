//! Calls made at once: how long each took, how long all, and what they cost the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::calls;
use super::client::{Connection, Head, framed};
use super::meter::Meter;
use bursar::grpc::proto::v1;
use bursar::grpc::proto::v1::session_request::Request;
use bursar::grpc::proto::v1::session_response::Answer;

/// The longest latency that is told apart from longer ones, in nanoseconds, and the digits that are.
const LATENCY_MAX: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;

/// What became of one burst.
pub struct Burst {
    pub answers: Vec<Bytes>,
    pub latency: Histogram<u64>,
    pub took: Duration,
    pub cpu: Duration,
}

impl Burst {
    /// Makes it, and reads what it costs a server.
    pub async fn metered(
        meter: &Meter,
        making: impl Future<Output = anyhow::Result<Self>>,
    ) -> anyhow::Result<Self> {
        let before = meter.quiet().await?;
        let mut burst = making.await?;
        // Journaling and reporting go on after the answers, and belong to the calls.
        burst.cpu = meter.quiet().await?.saturating_sub(before);
        Ok(burst)
    }

    /// Makes the calls, so many at once: each that is answered is followed by the next.
    pub async fn of(
        connections: &[Connection],
        head: &Head,
        in_flight: usize,
        calls: Vec<Request>,
    ) -> anyhow::Result<Self> {
        let calls: Arc<[Bytes]> = calls.iter().map(alone).collect::<Result<_, _>>()?;
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        for connection in connections.iter().cycle().take(in_flight) {
            let (mut connection, head) = (connection.clone(), head.clone());
            let (calls, next) = (Arc::clone(&calls), Arc::clone(&next));
            tasks.spawn(async move {
                let mut done = Vec::with_capacity(calls.len() / in_flight + 1);
                while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sent = Instant::now();
                    let answer = connection.call(&head, call.clone()).await?;
                    done.push((answer, sent.elapsed()));
                }
                anyhow::Ok(done)
            });
        }
        let mut done = Vec::with_capacity(calls.len());
        while let Some(task) = tasks.join_next().await {
            done.extend(task??);
        }
        Self::seen(done, began.elapsed())
    }

    /// Asks over one stream.
    pub async fn session(
        connection: &Connection,
        head: &Head,
        in_flight: usize,
        calls: Vec<Request>,
    ) -> anyhow::Result<Self> {
        let frame = |(sequence, request)| {
            framed(&v1::SessionRequest { sequence, request: Some(request), ..Default::default() })
        };
        let calls: Vec<Bytes> = (0..).zip(calls).map(frame).collect::<Result<_, _>>()?;
        let began = Instant::now();
        let done = connection.clone().session(head, &calls, in_flight).await?;
        let took = began.elapsed();
        let done = done.into_iter().map(|(response, waited)| Ok((answer(response)?, waited)));
        Self::seen(done.collect::<anyhow::Result<_>>()?, took)
    }

    pub fn seen(done: Vec<(Bytes, Duration)>, took: Duration) -> anyhow::Result<Self> {
        let mut latency = histogram()?;
        for (_, waited) in &done {
            latency.record(u64::try_from(waited.as_nanos())?)?;
        }
        let answers = done.into_iter().map(|(answer, _)| answer).collect();
        Ok(Self { answers, latency, took, cpu: Duration::ZERO })
    }
}

/// A request as the message of a call of its own.
fn alone(request: &Request) -> anyhow::Result<Bytes> {
    match request {
        Request::Authorize(message) => framed(message),
        Request::Commit(message) => framed(message),
        other => anyhow::bail!("nobody measures {other:?}"),
    }
}

/// What a call of its own would have been answered.
fn answer(response: Bytes) -> anyhow::Result<Bytes> {
    match v1::SessionResponse::decode(response)?.answer {
        Some(Answer::Authorize(answer)) => Ok(answer.encode_to_vec().into()),
        Some(Answer::Commit(answer)) => Ok(answer.encode_to_vec().into()),
        other => anyhow::bail!("a request of a session failed: {other:?}"),
    }
}

/// The commits of what a burst reserved. A run that was denied would make the figures mean something else.
pub fn commits(burst: &Burst) -> anyhow::Result<Vec<Request>> {
    let commit = |answer: &Bytes| {
        let answer = v1::AuthorizeResponse::decode(answer.clone())?;
        anyhow::ensure!(
            answer.decision == i32::from(v1::Decision::Allowed)
                && answer.decided_by == i32::from(v1::DecidedBy::Sidecar),
            "a run was not decided on the lease: {answer:?}"
        );
        Ok(Request::Commit(calls::commit(answer.reservation)))
    };
    burst.answers.iter().map(commit).collect()
}

/// Of latencies in nanoseconds.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LATENCY_MAX, LATENCY_DIGITS)?)
}
