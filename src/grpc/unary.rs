//! One message in, one message out, as gRPC frames them over HTTP/2. Tonic's own way is made for streams; for a call
//! with one short message each way its bookkeeping costs as much as the decision.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Response, header};

/// In front of each message: whether it is compressed, and its length.
const PREFIX_LEN: usize = 1 + 4;

/// Room for an ordinary answer; a longer one makes its buffer grow.
const ANSWER_BYTES: usize = 1 << 10;

// Names that are parsed when the program is compiled.
// Parsed when the program is compiled, not in each call.
static ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
static STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the call's body can be read here: what is compressed cannot.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(&ENCODING).is_none_or(|encoding| encoding == "identity")
}

/// The one message of a call, at most `most` bytes long.
pub(super) async fn read<M: Message + Default>(mut body: Body, most: usize) -> Result<M, Status> {
    let mut bytes = Bytes::new();
    // All of it, whatever follows the message: a stream that is left half read would be reset.
    while let Some(frame) = body.frame().await {
        let Ok(more) = frame?.into_data() else { continue };
        if bytes.is_empty() {
            bytes = more;
        } else if bytes.len() + more.len() <= PREFIX_LEN + most {
            bytes = [bytes, more].concat().into();
        } else {
            return Err(too_long(bytes.len() + more.len(), most));
        }
        if body.is_end_stream() {
            break;
        }
    }
    if bytes.len() < PREFIX_LEN {
        return Err(Status::internal("the call ended before its message began"));
    }
    let (compressed, length) = (bytes.get_u8(), bytes.get_u32() as usize);
    if compressed != 0 {
        return Err(Status::internal(
            "the message is marked as compressed, and the call names no `grpc-encoding`",
        ));
    }
    if length > most {
        return Err(too_long(length, most));
    }
    if length != bytes.len() {
        return Err(Status::internal(format!(
            "a message of {length} bytes was announced, and {} came",
            bytes.len()
        )));
    }
    M::decode(bytes).map_err(|error| Status::internal(error.to_string()))
}

fn too_long(length: usize, most: usize) -> Status {
    Status::out_of_range(format!("the message has {length} bytes, and may have {most}"))
}

pub(super) fn write<M: Message>(answer: Result<M, Status>) -> Response<Body> {
    let body = match answer.and_then(|message| framed(&message)) {
        Ok(bytes) => Body::new(Answer { message: Some(bytes), ended: false }),
        Err(status) => return status.into_http(),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn framed<M: Message>(message: &M) -> Result<Bytes, Status> {
    let mut bytes = BytesMut::with_capacity(ANSWER_BYTES);
    bytes.put_bytes(0, PREFIX_LEN);
    message.encode(&mut bytes).map_err(|error| Status::internal(error.to_string()))?;
    let length =
        u32::try_from(bytes.len() - PREFIX_LEN).map_err(|_| Status::internal("the answer is too long"))?;
    if let Some(place) = bytes.get_mut(1..PREFIX_LEN) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(bytes.freeze())
}

/// A message, then the status.
struct Answer {
    message: Option<Bytes>,
    ended: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(&STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::proto::v1;
    use http_body_util::{Full, StreamBody};

    const MOST: usize = 64;

    fn bytes(account: &str) -> Vec<u8> {
        let message = v1::GetFeaturesRequest { account: account.to_owned() };
        framed(&message).unwrap().to_vec()
    }

    async fn account(body: Body) -> Result<String, Status> {
        read::<v1::GetFeaturesRequest>(body, MOST).await.map(|message| message.account)
    }

    fn whole(bytes: Vec<u8>) -> Body {
        Body::new(Full::new(Bytes::from(bytes)))
    }

    #[tokio::test]
    async fn a_message_comes_whole_or_in_parts() {
        assert_eq!(account(whole(bytes("acme"))).await.unwrap(), "acme");
        let parts =
            bytes("acme").into_iter().map(|byte| Ok::<_, Status>(Frame::data(Bytes::from(vec![byte]))));
        let body = Body::new(StreamBody::new(tokio_stream::iter(parts)));
        assert_eq!(account(body).await.unwrap(), "acme");
    }

    #[tokio::test]
    async fn what_is_no_message_is_said() {
        let mut compressed = bytes("acme");
        compressed[0] = 1;
        let mut short = bytes("acme");
        short.pop();
        let mut two = bytes("acme");
        two.extend(bytes("acme"));
        let mut garbage = bytes("acme");
        garbage[5] = 0xff;
        for (bytes, code) in [
            (Vec::new(), tonic::Code::Internal),
            (vec![0, 0], tonic::Code::Internal),
            (compressed, tonic::Code::Internal),
            (short, tonic::Code::Internal),
            (two, tonic::Code::Internal),
            (garbage, tonic::Code::Internal),
            (bytes(&"x".repeat(MOST)), tonic::Code::OutOfRange),
            (vec![0; 10 * MOST], tonic::Code::Internal),
        ] {
            assert_eq!(account(whole(bytes.clone())).await.unwrap_err().code(), code, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_ends_with_its_status() {
        let body = write(Ok(v1::GetFeaturesRequest { account: "acme".to_owned() })).into_body();
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap().get("grpc-status").unwrap(), "0");
        assert_eq!(collected.to_bytes(), bytes("acme"));
        let refused = write::<v1::GetFeaturesRequest>(Err(Status::unavailable("not now")));
        assert_eq!(refused.headers().get("grpc-status").unwrap(), "14");
    }
}
