use std::future::poll_fn;

use bytes::BytesMut;
use h2::SendStream;
use http::{HeaderMap, Response, Uri};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::io::{DuplexStream, duplex};
use tokio_stream::StreamExt;

use super::*;

/// More than h2 takes of short frames that nobody reads, unless windows keep them back.
const CHANGES: u64 = 50_000;

/// A ledger that answers a watch, each change in a frame of its own, and never waits but for room.
async fn ledger(io: DuplexStream) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    let mut telling = None;
    while let Some(asked) = connection.accept().await {
        let (_, mut respond) = asked.unwrap();
        let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let stream = respond.send_response(response, false).unwrap();
        telling = Some(tokio::spawn(tell(stream)));
    }
    drop(telling);
}

async fn tell(mut stream: SendStream<Bytes>) {
    for number in 1..=CHANGES {
        let recall = wire::Recall { account: "acme".to_owned(), number };
        let change = wire::WatchResponse { change: Some(wire::watch_response::Change::Recall(recall)) };
        let mut frame = BytesMut::new();
        frame.extend_from_slice(&[0]);
        frame.extend_from_slice(&u32::try_from(change.encoded_len()).unwrap().to_be_bytes());
        change.encode(&mut frame).unwrap();
        stream.reserve_capacity(frame.len());
        while stream.capacity() < frame.len() {
            poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        }
        stream.send_data(frame.freeze(), false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
}

#[tokio::test]
async fn changes_may_come_faster_than_they_are_heard() {
    let (ours, theirs) = duplex(1 << 20);
    tokio::spawn(ledger(theirs));
    let mut ours = Some(ours);
    let connect = tower::service_fn(move |_: Uri| {
        let io = ours.take().ok_or_else(|| std::io::Error::other("one connection only"));
        async move { io.map(TokioIo::new) }
    });
    let channel = LeaseClient::endpoint("http://ledger").unwrap().connect_with_connector_lazy(connect);
    let who = Sender { sidecar: SidecarId([1; 16]), epoch: Epoch { generation: 1, start: 1 } };
    let mut watching = LeaseClient::over(channel).watch(who).await.unwrap();
    // The sidecar has other things to do.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let mut last = 0;
    while let Some(told) = watching.next().await {
        let Told::Recall(_, number) = told.unwrap() else { panic!("another change") };
        assert_eq!(number, last + 1);
        last = number;
    }
    assert_eq!(last, CHANGES);
}
