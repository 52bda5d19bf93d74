#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    pin::Pin,
    sync::atomic::Ordering::SeqCst,
    task::{Context, Poll},
};

use http::{Request, Version};
use kit::HANG_GUARD;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::Barrier,
    task::JoinSet,
    time::timeout,
};

use super::{super::cancel::RequestBody, *};

const REQUESTS: usize = 32;

/// A pipe that counts the writes to it.
struct Counting {
    pipe: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, SeqCst);
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// Responds to all requests once they have arrived.
async fn serve(pipe: DuplexStream) {
    let mut server = h2::server::handshake(pipe).await.unwrap();
    let mut waiting = Vec::new();
    while let Some(stream) = server.accept().await {
        waiting.push(stream.unwrap().1);
        if waiting.len() == REQUESTS {
            for mut respond in waiting.drain(..) {
                respond.send_response(http::Response::new(()), true).unwrap();
            }
        }
    }
}

fn request() -> Request<RequestBody> {
    let body = RequestBody::new(Some(Bytes::from_static(b"{}")), None);
    let mut request = Request::new(body);
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = "http://polytomic.test/api".parse().unwrap();
    request
}

// With more threads the tasks that are ready run at the same time as the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_that_are_made_together_are_written_together() {
    let (near, far) = duplex(1 << 20);
    tokio::spawn(serve(far));
    let writes = Arc::<AtomicUsize>::default();
    let pipe = Counting { pipe: near, writes: Arc::clone(&writes) };
    let connection = handshake(pipe).await.unwrap();
    let arrived = Arc::new(Barrier::new(REQUESTS));
    let before = writes.load(SeqCst);
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let (connection, arrived) = (connection.clone(), Arc::clone(&arrived));
        requests.spawn(async move {
            arrived.wait().await;
            send(&connection, (), request()).await.map(|_| ())
        });
    }
    let sent = timeout(HANG_GUARD, requests.join_all()).await.unwrap();
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let writes = writes.load(SeqCst) - before;
    assert!(writes <= REQUESTS / 4, "{writes} writes of {REQUESTS} requests");
}
