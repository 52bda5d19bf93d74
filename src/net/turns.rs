//! The turns of a connection: what it does each time it is polled.
//!
//! A stream that ends wakes its connection, which tokio then runs next. So each response
//! would be written by itself. A busy connection lets all tasks that are ready run first,
//! and what they have made is written together.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;
use tower::BoxError;

use super::{batch::Batch, streams::Streams, yielding::Turn};

/// Open streams from which on a connection is busy. One alone would wait for nothing.
const BUSY: usize = 2;

/// The turns of a connection that writes to `W`.
#[derive(Debug)]
pub(super) struct Turns<W> {
    reads: Turn,
    writes: Batch<W>,
    streams: Streams,
    /// Whether the other tasks have run since the last turn.
    others_ran: bool,
}

impl<W: AsyncWrite + Unpin> Turns<W> {
    /// Returns the turns of a connection whose reader is limited by `reads`, and whose
    /// writes go to a batch.
    pub(super) fn new(reads: Turn, writes: Batch<W>, streams: Streams) -> Self {
        Self { reads, writes, streams, others_ran: false }
    }

    /// Serves a connection, turn by turn.
    ///
    /// # Errors
    ///
    /// Those of `connection`, and if its socket is broken.
    pub(super) async fn serve<F>(mut self, mut connection: Pin<&mut F>) -> F::Output
    where
        F: Future<Output = Result<(), BoxError>>,
    {
        poll_fn(|context| self.poll(connection.as_mut(), context)).await
    }

    fn poll<F>(
        &mut self,
        connection: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output>
    where
        F: Future<Output = Result<(), BoxError>>,
    {
        if self.lets_others_run() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.reads.begin();
        if let Poll::Ready(ended) = connection.poll(context) {
            return Poll::Ready(ended);
        }
        match self.writes.poll_write_out(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            _ => Poll::Pending,
        }
    }

    /// Reports whether the connection waits for the other tasks, which it does once.
    fn lets_others_run(&mut self) -> bool {
        // They ran, too, if the last turn ended because enough was read.
        let wait =
            !self.others_ran && !self.reads.has_yielded() && self.streams.open() >= BUSY;
        self.others_ran = wait;
        wait
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        cell::Cell,
        convert::Infallible,
        future::pending,
        io, mem,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Waker,
    };

    use bytes::Bytes;
    use futures_util::{FutureExt, future::join_all};
    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty, Full};
    use hyper::{rt::Executor, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::{
        io::{
            AsyncReadExt, AsyncWriteExt, DuplexStream, WriteHalf, duplex, join, sink,
            split,
        },
        sync::Barrier,
        task::yield_now,
    };

    use super::*;
    use crate::{
        budget::UnreadResponses,
        net::{batch::unlimited, limits, yielding::YieldingReader},
    };

    /// The writer of a pipe, which counts writes.
    #[derive(Debug)]
    struct Counting {
        writer: WriteHalf<DuplexStream>,
        writes: Arc<AtomicUsize>,
    }

    impl AsyncWrite for Counting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes.fetch_add(1, Relaxed);
            Pin::new(&mut self.writer).poll_write(context, bytes)
        }

        fn poll_flush(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.writer).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.writer).poll_shutdown(context)
        }
    }

    /// Returns in how many writes the responses of this many streams go out that end at the
    /// same time.
    async fn writes_of(open: usize) -> usize {
        let (peer, socket) = duplex(1 << 20);
        let (reader, writer) = split(socket);
        let count = Arc::<AtomicUsize>::default();
        let writer = Counting { writer, writes: Arc::clone(&count) };
        let (batch, writer) = unlimited(writer, UnreadResponses::default());
        let streams = Streams::default();
        let turns = Turns::new(Turn::default(), batch, streams.clone());

        let arrived = Arc::new(Barrier::new(open + 1));
        let service = service_fn({
            let arrived = Arc::clone(&arrived);
            move |_| {
                let arrived = Arc::clone(&arrived);
                async move {
                    arrived.wait().await;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![
                        7;
                        1500
                    ]))))
                }
            }
        });
        let server = limits::http2(streams.clone())
            .serve_connection(TokioIo::new(join(reader, writer)), service);
        let server = tokio::spawn(async move {
            let connection = pin!(async { Ok(server.await?) });
            turns.serve(connection).await
        });

        let http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (client, connection) = http2.handshake(TokioIo::new(peer)).await.unwrap();
        tokio::spawn(connection);
        let calls = join_all((0..open).map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let request = Request::new(Empty::<Bytes>::new());
                let response = client.send_request(request).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            })
        }));
        while streams.open() < open {
            yield_now().await;
        }
        let before = count.load(Relaxed);
        arrived.wait().await;
        for body in calls.await {
            assert_eq!(body.unwrap(), vec![7; 1500]);
        }
        drop(client);
        server.await.unwrap().unwrap();
        count.load(Relaxed) - before
    }

    // The runtime that the gateway has: it runs a task that was woken by another next.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn responses_of_a_busy_connection_are_written_together() {
        let writes = tokio::spawn(writes_of(16)).await.unwrap();
        assert!(writes <= 2, "{writes} writes");
    }

    /// Ends a poll.
    async fn end_poll() {
        let mut ended = false;
        poll_fn(|_| {
            if mem::replace(&mut ended, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Returns after which polls a connection with `open` streams has had a turn, which
    /// begins by reading `read` bytes.
    fn turns_of(open: usize, read: usize) -> [usize; 4] {
        let streams = Streams::default();
        (0..open).for_each(|_| streams.execute(pending()));
        let bytes = vec![0; 10 * read];
        let reads = Turn::default();
        let mut reader = YieldingReader::new(&bytes[..], reads.clone());
        let (batch, _writer) = unlimited(sink(), UnreadResponses::default());
        let mut turns = Turns::new(reads, batch, streams);
        let had = Cell::new(0);
        let mut connection = pin!(async {
            loop {
                had.set(had.get() + 1);
                let mut buffer = vec![0; read];
                reader.read_exact(&mut buffer).now_or_never();
                end_poll().await;
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        [(); 4].map(|()| {
            assert!(turns.poll(connection.as_mut(), &mut context).is_pending());
            had.get()
        })
    }

    #[tokio::test]
    async fn only_a_busy_connection_waits_and_only_once() {
        for (open, read, expected) in [
            (0, 0, [1, 2, 3, 4]),
            (BUSY - 1, 0, [1, 2, 3, 4]),
            (BUSY, 0, [0, 1, 1, 2]),
            (100, 0, [0, 1, 1, 2]),
            // It has yielded already, since it has read enough.
            (100, 4096, [0, 1, 2, 3]),
        ] {
            assert_eq!(turns_of(open, read), expected, "{open} streams");
        }
    }

    #[tokio::test]
    async fn connection_whose_socket_is_broken_ends() {
        let (socket, peer) = duplex(64);
        drop(peer);
        let (batch, mut writer) = unlimited(socket, UnreadResponses::default());
        writer.write_all(b"frame").await.unwrap();
        let turns = Turns::new(Turn::default(), batch, Streams::default());
        let connection = pin!(pending::<Result<(), BoxError>>());
        turns.serve(connection).await.unwrap_err();
    }
}
