//! A writer that keeps what its connection writes in one turn, and writes it together.
//!
//! h2 writes each piece of data of 256 bytes or more by itself. Two writes would be a
//! third of what a small RPC costs.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::io::AsyncWrite;

use crate::budget::{Reservation, SharedCapacity, UnreadData, UnreadResponses};

/// Maximum bytes that are kept: about forty small responses, or two frames of a large
/// one. Larger writes save no more time.
const MOST: usize = 32 * 1024;

/// Maximum bytes that are kept without a reservation: about five small responses. They
/// are part of what a connection costs, like the buffers of h2.
const UNRESERVED: usize = 4 * 1024;

/// What a connection has written and its socket has not.
#[derive(Debug)]
pub(super) struct Batch<W>(Arc<Mutex<Kept<W>>>);

/// The writer of the connection. Flushing does nothing: the batch is written at the end
/// of the turn, when it is full, when the writer shuts down, or when it is dropped.
#[derive(Debug)]
pub(super) struct BatchWriter<W: AsyncWrite + Unpin>(Batch<W>);

#[derive(Debug)]
struct Kept<W> {
    writer: W,
    bytes: Vec<u8>,
    /// How many of the bytes the socket has.
    written: usize,
    /// The memory of more than [`UNRESERVED`] bytes, while they are kept.
    reservation: Option<Reservation>,
    memory: SharedCapacity,
    /// Counts what is written as unread while the socket is full.
    stalled: Option<UnreadData>,
    unread: UnreadResponses,
}

/// Returns a batch of writes to `writer`, and the writer that fills it. Bytes that wait for
/// the peer count as `unread`, and hold `memory`.
pub(super) fn batch<W: AsyncWrite + Unpin>(
    writer: W,
    unread: UnreadResponses,
    memory: SharedCapacity,
) -> (Batch<W>, BatchWriter<W>) {
    let kept = Arc::new(Mutex::new(Kept {
        writer,
        bytes: Vec::new(),
        written: 0,
        reservation: None,
        memory,
        stalled: None,
        unread,
    }));
    (Batch(Arc::clone(&kept)), BatchWriter(Batch(kept)))
}

impl<W: AsyncWrite + Unpin> Batch<W> {
    /// Writes what is kept. Pending while the socket is full.
    ///
    /// # Errors
    ///
    /// If the socket is broken.
    pub(super) fn poll_write_out(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.lock().poll_write_out(context)
    }

    fn lock(&self) -> MutexGuard<'_, Kept<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsyncWrite + Unpin> Kept<W> {
    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let rest = &self.bytes[self.written..];
            let polled = Pin::new(&mut self.writer).poll_write(context, rest);
            match ready!(self.observe(polled))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                wrote => self.written += wrote,
            }
        }
        // An idle connection keeps no memory for its next turn.
        self.bytes = Vec::new();
        self.written = 0;
        self.reservation = None;
        // TLS accepts what it has encrypted before the socket has it.
        let flushed = Pin::new(&mut self.writer).poll_flush(context);
        self.observe(flushed)
    }

    /// Records whether the socket is full. All that waits for it counts as unread since it
    /// last took a byte.
    fn observe<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            self.stalled.get_or_insert_with(|| self.unread.count());
        } else if self.stalled.take().is_some() {
            self.unread.renew();
        }
        polled
    }

    /// Returns how many more bytes may be kept, if there are `more`. Without memory for
    /// them they are written sooner: a write cannot fail amid a frame.
    fn room_for(&mut self, more: usize) -> usize {
        if self.reservation.is_none() && self.bytes.len() + more > UNRESERVED {
            self.reservation = self.memory.try_reserve_bytes(MOST).ok();
        }
        let most = if self.reservation.is_some() { MOST } else { UNRESERVED };
        most - self.bytes.len()
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for BatchWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut kept = self.0.lock();
        // Nothing more for a peer that does not read.
        if kept.stalled.is_some() || kept.room_for(bytes.len()) == 0 {
            ready!(kept.poll_write_out(context))?;
        }
        let room = kept.room_for(bytes.len());
        if kept.bytes.is_empty() && bytes.len() >= room {
            let polled = Pin::new(&mut kept.writer).poll_write(context, bytes);
            return kept.observe(polled);
        }
        kept.bytes.reserve_exact(room);
        let taken = bytes.len().min(room);
        kept.bytes.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut kept = self.0.lock();
        ready!(kept.poll_write_out(context))?;
        Pin::new(&mut kept.writer).poll_shutdown(context)
    }
}

impl<W: AsyncWrite + Unpin> Drop for BatchWriter<W> {
    fn drop(&mut self) {
        // A connection that ends amid a turn, such as at its grace period.
        let mut context = Context::from_waker(Waker::noop());
        let mut kept = self.0.lock();
        if kept.poll_write_out(&mut context).is_ready() {
            // TLS ends with an alert: without it, an attacker might have cut the rest off.
            let _ = Pin::new(&mut kept.writer).poll_shutdown(&mut context);
        }
    }
}

/// Returns a batch for which there is memory.
#[cfg(test)]
pub(super) fn unlimited<W: AsyncWrite + Unpin>(
    writer: W,
    unread: UnreadResponses,
) -> (Batch<W>, BatchWriter<W>) {
    use crate::budget::{Exhausted, FairShare};

    let share = FairShare { total: 1 << 20, reserved: 0, floor: 0, guaranteed: 0 };
    batch(writer, unread, SharedCapacity::new(Exhausted::ResponseMemory, share, MOST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        future::poll_fn,
        io::IoSlice,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        time::Duration,
    };

    use futures_util::{FutureExt, future::try_join};
    use kit::{HOST, Protocol, tls::Authority};
    use rustls::pki_types::ServerName;
    use tokio::{
        io::{
            AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, WriteHalf,
            duplex, split,
        },
        time::{sleep, timeout},
    };
    use tokio_rustls::{TlsConnector, client, server};

    use super::*;
    use crate::budget::{Capacities, Exhausted, Settings};

    const LIMIT: Duration = Duration::from_secs(60);

    /// A writer that keeps each write apart.
    #[derive(Debug, Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn write_out<W: AsyncWrite + Unpin>(batch: &Batch<W>) {
        poll_fn(|context| batch.poll_write_out(context)).await.unwrap();
    }

    fn is_stalled<W: AsyncWrite + Unpin>(batch: &Batch<W>) -> bool {
        poll_fn(|context| batch.poll_write_out(context)).now_or_never().is_none()
    }

    #[tokio::test]
    async fn writes_of_a_turn_are_one() {
        let (batch, mut writer) =
            unlimited(Writes::default(), UnreadResponses::default());
        for turn in 1..=3 {
            for part in [&b"a"[..], b"", b"bc"] {
                writer.write_all(part).await.unwrap();
                writer.flush().await.unwrap();
            }
            assert_eq!(batch.lock().writer.0.len(), turn - 1);
            write_out(&batch).await;
            assert_eq!(batch.lock().writer.0[turn - 1], b"abc");
        }
        write_out(&batch).await;
        assert_eq!(batch.lock().writer.0.len(), 3, "a turn without writes has none");
    }

    #[tokio::test]
    async fn order_is_kept_whatever_the_sizes() {
        let bytes: Vec<u8> = (0..=250).cycle().take(10 * MOST).collect();
        for sizes in [[1, 2 * MOST, 3], [9, 16 * 1024, 9], [MOST, MOST - 1, 2]] {
            let (batch, mut writer) =
                unlimited(Writes::default(), UnreadResponses::default());
            let mut rest = &bytes[..];
            for size in sizes.into_iter().cycle() {
                let (part, behind) = rest.split_at(size.min(rest.len()));
                writer.write_all(part).await.unwrap();
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            drop(writer);
            let written = &batch.lock().writer.0;
            assert!(written.concat() == bytes, "{sizes:?}");
            assert!(written.len() <= 20, "{sizes:?}: {} writes", written.len());
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_and_only_held_during_a_turn() {
        let (socket, mut peer) = duplex(100);
        let (batch, mut writer) = unlimited(socket, UnreadResponses::default());
        let mut accepted = 0;
        while let Some(wrote) = writer.write(&[7; 1000]).now_or_never() {
            accepted += wrote.unwrap();
        }
        assert_eq!(accepted, MOST, "the peer has not read, and nothing is lost");
        assert_eq!(batch.lock().bytes.capacity(), MOST);
        drop(writer);
        let mut read = vec![0; MOST];
        let ((), read) = tokio::join!(write_out(&batch), peer.read_exact(&mut read));
        assert_eq!(read.unwrap(), MOST);
        assert_eq!(batch.lock().bytes.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_does_not_read_gets_no_more_and_is_overdue() {
        let unread = UnreadResponses::default();
        let (socket, mut peer) = duplex(4);
        let (batch, mut writer) = unlimited(socket, unread.clone());
        writer.write_all(b"12345678").await.unwrap();
        assert!(is_stalled(&batch));
        assert!(writer.write(b"9").now_or_never().is_none());
        timeout(3 * LIMIT, unread.overdue(LIMIT)).await.unwrap();

        let mut read = [0; 8];
        let ((), read) = tokio::join!(write_out(&batch), peer.read_exact(&mut read));
        read.unwrap();
        writer.write_all(b"9").await.unwrap();
        timeout(100 * LIMIT, unread.overdue(LIMIT)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_reads_a_byte_at_a_time_is_not_overdue() {
        const BYTES: usize = 100;

        let unread = UnreadResponses::default();
        let (socket, mut peer) = duplex(1);
        let (batch, mut writer) = unlimited(socket, unread.clone());
        writer.write_all(&[7; BYTES]).await.unwrap();
        // Such as the rest of a large response.
        let _behind = unread.count();
        let reading = async {
            for _ in 0..BYTES {
                sleep(LIMIT * 9 / 10).await;
                assert_eq!(peer.read_u8().await.unwrap(), 7);
            }
        };
        tokio::select! {
            () = unread.overdue(LIMIT) => panic!("it reads"),
            ((), ()) = async { tokio::join!(write_out(&batch), reading) } => {}
        }
        timeout(5 * LIMIT, unread.overdue(LIMIT)).await.unwrap();
    }

    /// Peers that do not read hold memory for responses, and not more than there is.
    #[tokio::test]
    async fn what_waits_for_peers_is_memory_of_responses() {
        const PEERS: usize = 1024;
        const MEMORY: usize = 8 << 20;

        let all = Capacities::new(&Settings {
            response_memory: MEMORY,
            max_in_flight: 1024,
            max_connections: PEERS,
        });
        let (mut waiting, mut peers) = (0, Vec::new());
        for _ in 0..PEERS {
            let memory = all.on_connection().write_memory();
            let (socket, peer) = duplex(1);
            let (batch, mut writer) = batch(socket, UnreadResponses::default(), memory);
            let before = waiting;
            while let Some(wrote) = writer.write(&[7; 1000]).now_or_never() {
                waiting += wrote.unwrap();
            }
            assert!(waiting - before >= UNRESERVED, "small responses need no memory");
            peers.push((batch, writer, peer));
        }
        assert!(waiting <= MEMORY + PEERS * UNRESERVED, "{waiting} bytes wait");
        let large = || all.write_memory().try_reserve_bytes(MEMORY / 8);
        assert_eq!(large().unwrap_err(), Exhausted::ResponseMemory);
        drop(peers);
        large().unwrap();
    }

    #[tokio::test]
    async fn last_writes_go_out() {
        for shuts_down in [true, false] {
            let (socket, mut peer) = duplex(64);
            let (batch, mut writer) = unlimited(socket, UnreadResponses::default());
            writer.write_all(b"last").await.unwrap();
            if shuts_down {
                writer.shutdown().await.unwrap();
            }
            drop((writer, batch));
            let mut read = String::new();
            peer.read_to_string(&mut read).await.unwrap();
            assert_eq!(read, "last");
        }
    }

    #[tokio::test]
    async fn broken_socket_is_an_error() {
        let (socket, peer) = duplex(64);
        let (batch, mut writer) = unlimited(socket, UnreadResponses::default());
        drop(peer);
        writer.write_all(b"bytes").await.unwrap();
        poll_fn(|context| batch.poll_write_out(context)).await.unwrap_err();
        writer.shutdown().await.unwrap_err();
    }

    /// A socket that counts writes.
    #[derive(Debug)]
    struct Counting {
        socket: DuplexStream,
        writes: Arc<AtomicUsize>,
    }

    impl AsyncRead for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.socket).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Counting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes.fetch_add(1, Relaxed);
            Pin::new(&mut self.socket).poll_write(context, bytes)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.writes.fetch_add(1, Relaxed);
            Pin::new(&mut self.socket).poll_write_vectored(context, slices)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.socket).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.socket).poll_shutdown(context)
        }
    }

    type OverTls = WriteHalf<server::TlsStream<Counting>>;

    /// Returns a writer within TLS, over a socket that holds `most` bytes, with its peer and
    /// the count of its writes.
    async fn over_tls(
        most: usize,
    ) -> (OverTls, client::TlsStream<DuplexStream>, Arc<AtomicUsize>) {
        let (socket, far) = duplex(most);
        let writes = Arc::<AtomicUsize>::default();
        let socket = Counting { socket, writes: Arc::clone(&writes) };
        let authority = Authority::new();
        let connector = TlsConnector::from(Arc::new(authority.client(None)));
        let name = ServerName::try_from(HOST).unwrap();
        let accepting = authority.server(Protocol::Http2).accept(socket);
        let both = try_join(accepting, connector.connect(name, far)).await;
        let (stream, peer) = both.unwrap();
        (split(stream).1, peer, writes)
    }

    #[tokio::test]
    async fn writes_of_a_turn_are_one_within_tls() {
        let (tls, mut peer, count) = over_tls(1 << 20).await;
        let (batch, mut writer) = unlimited(tls, UnreadResponses::default());
        for size in [1, 100, MOST] {
            let before = count.load(Relaxed);
            for part in vec![7; size].chunks(1500) {
                writer.write_all(part).await.unwrap();
                writer.flush().await.unwrap();
            }
            write_out(&batch).await;
            assert_eq!(count.load(Relaxed) - before, 1, "{size} bytes");
            peer.read_exact(&mut vec![0; size]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn bytes_that_tls_holds_count_as_unread_until_the_socket_has_them() {
        let (writer, mut peer, _) = over_tls(512).await;
        let (batch, mut writer) = unlimited(writer, UnreadResponses::default());
        writer.write_all(&[7; 2000]).await.unwrap();
        assert!(is_stalled(&batch));
        assert!(batch.lock().bytes.is_empty(), "TLS has them");
        assert!(writer.write(b"9").now_or_never().is_none());
        let mut read = [0; 2000];
        let ((), read) = tokio::join!(write_out(&batch), peer.read_exact(&mut read));
        read.unwrap();
        assert!(!is_stalled(&batch));
    }

    #[tokio::test]
    async fn connection_within_tls_ends_as_tls_does() {
        let (writer, mut peer, _) = over_tls(1 << 16).await;
        let (batch, mut writer) = unlimited(writer, UnreadResponses::default());
        writer.write_all(b"last").await.unwrap();
        drop((writer, batch));
        let mut read = String::new();
        // An end without the alert of TLS would be an error.
        peer.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "last");
    }
}
