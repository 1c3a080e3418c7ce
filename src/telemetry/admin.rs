//! Plain HTTP for those who look after a process: whether it lives, whether it takes calls, what its metrics are.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::metrics::{Reader, exposition};

/// Connections at once: a scraper or two, a kubelet, a person. Further ones are closed.
const CONNECTIONS_MAX: usize = 16;

/// A request's head comes within this time, or the connection ends.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// A connection ends after this time, whatever it does: who reads slowly, or keeps asking, gives its place up to a probe.
const CONNECTION_LASTS: Duration = Duration::from_secs(30);

/// After an accept that failed, mostly for lack of file handles.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What is asked for.
const LIVE: &str = "/livez";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";

/// Bound, not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// Whether the process takes calls.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub fn say(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Admin {
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub async fn serve(self, readiness: Readiness, reader: Reader) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            // Those that have ended are let go.
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            };
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
            let (readiness, reader) = (readiness.clone(), reader.clone());
            connections.spawn(async move {
                let _place = place;
                let service = service_fn(move |request| answer(request, readiness.clone(), reader.clone()));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_WITHIN)
                    .serve_connection(TokioIo::new(stream), service);
                match tokio::time::timeout(CONNECTION_LASTS, connection).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => tracing::debug!(%why, "a connection for probes or metrics broke"),
                    Err(_) => tracing::debug!("a connection for probes or metrics lasted too long"),
                }
            });
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    readiness: Readiness,
    reader: Reader,
) -> Result<Response<Full<Bytes>>, Infallible> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let known = [LIVE, READY, METRICS].contains(&request.uri().path());
    let (status, media, body) = match request.uri().path() {
        _ if known && request.method() != Method::GET => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned())
        }
        LIVE => (StatusCode::OK, PLAIN, "it lives\n".to_owned()),
        READY if readiness.is_ready() => (StatusCode::OK, PLAIN, "it takes calls\n".to_owned()),
        READY => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "it starts or stops\n".to_owned()),
        METRICS => match exposition::text(&reader.read().await) {
            Ok(text) => (StatusCode::OK, exposition::MEDIA_TYPE, text),
            Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{why}\n")),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, format!("here are {LIVE}, {READY} and {METRICS}\n")),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::telemetry::metrics::reading::{Sample, Value};
    use crate::telemetry::metrics::{Reading, table};

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{request}\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_probes_and_scrapes() {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (address, readiness) = (admin.address(), Readiness::default());
        let reader = Reader::new(|| async { vec![Reading::build("sidecar")] });
        let _serving = tokio::spawn(admin.serve(readiness.clone(), reader));
        for (request, ready, status, what) in [
            ("GET /livez HTTP/1.1", false, "200", "it lives"),
            ("GET /readyz HTTP/1.1", false, "503", "it starts or stops"),
            ("GET /readyz HTTP/1.1", true, "200", "it takes calls"),
            ("POST /readyz HTTP/1.1", true, "405", "only GET"),
            ("GET /metrics HTTP/1.1", true, "200", "bursar_build_info"),
            ("GET /metrics?a=b HTTP/1.1", true, "200", "# EOF"),
            ("GET / HTTP/1.1", true, "404", "/metrics"),
        ] {
            readiness.say(ready);
            let answer = ask(address, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert!(answer.contains(what), "{request}: {answer}");
        }
    }

    #[tokio::test]
    async fn too_many_connections_are_closed_and_the_others_go_on() {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = admin.address();
        let _serving = tokio::spawn(admin.serve(Readiness::default(), Reader::new(|| async { Vec::new() })));
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut one_more = TcpStream::connect(address).await.unwrap();
        assert_eq!(one_more.read(&mut [0; 8]).await.unwrap_or(0), 0, "it was kept");
        idle.pop();
        // The place comes back as soon as its connection is seen to be gone.
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _refused =
                stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            let mut answer = String::new();
            let _refused = stream.read_to_string(&mut answer).await;
            if answer.contains("it lives") {
                break;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_gives_its_place_up() {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = admin.address();
        // More than sockets hold for a reader.
        let long = || async {
            let labels = vec![("version", "x".repeat(32 << 20))];
            let value = Value::Number(1.0);
            vec![Reading { metric: &table::BUILD, samples: vec![Sample { labels, value }] }]
        };
        let _serving = tokio::spawn(admin.serve(Readiness::default(), Reader::new(long)));
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            // It is answered.
            stream.read_exact(&mut [0; 8]).await.unwrap();
            idle.push(stream);
        }
        // The clock goes on wherever nothing else does.
        tokio::time::sleep(CONNECTION_LASTS).await;
        assert!(ask(address, "GET /livez HTTP/1.1").await.contains("it lives"));
    }
}
