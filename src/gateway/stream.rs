//! A response that is a stream: its messages are made while Polytomic's response
//! arrives, as fast as the client reads them.
//!
//! Nothing is read ahead. The next chunk of the response is asked for once the messages
//! of the last are with HTTP/2, which takes them as the client reads. So a stream of any
//! length holds one chunk, one element and what HTTP/2 has buffered.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use tonic::Status;

use super::{
    deadline::Deadline,
    record::Record,
    response::{Translator, failed},
};
use crate::{
    budget::{ExpectedResponse, ResponseMemory, RpcReservation},
    contract::Rpc,
    status::{Content, Failure, content},
    transcode::{Elements, Framing, Progress, ResponseError, TURN},
    upstream::{Error, Exchange},
};

/// Bytes that HTTP/2 holds of a stream: its buffer of 256 KiB, and the messages that wait
/// for a place in it.
const BUFFERED: usize = 320 * 1024;

/// Bytes of the messages that are being made, and of the JSON that waits for its end.
const MAKING: usize = 192 * 1024;

/// Bytes for messages that are allocated at once: those of one piece, and an element of up
/// to 32 KiB behind them.
const ROOM: usize = 112 * 1024;

/// Bytes that a stream holds from its beginning. One with larger elements needs more.
pub(super) const WINDOW: usize = BUFFERED + MAKING;

/// A list that is being read from Polytomic's response.
#[derive(Debug)]
pub(super) struct Reading {
    exchange: Exchange<()>,
    elements: Elements,
    translator: Arc<Translator>,
    memory: Arc<ResponseMemory>,
    /// The first message, made before the response begins.
    first: Option<Vec<u8>>,
    /// Whether the stream has had its first turn.
    is_long: bool,
    has_ended: bool,
    deadline: Deadline,
}

impl Reading {
    /// Reads the first element, or to the end of an empty list. Until then the attempt
    /// may fail and be repeated.
    ///
    /// The status of the response is one of success, and the memory holds a [`WINDOW`].
    pub(super) async fn start(
        rpc: &Arc<Rpc>,
        exchange: Exchange<&ExpectedResponse<'_>>,
        translator: Arc<Translator>,
        memory: &ExpectedResponse<'_>,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let mut exchange = exchange.into_chunks();
        let mut elements = Elements::of_stream(rpc, exchange.limit());
        if content(exchange.status(), rpc.binding.is_safe()) == Content::Empty {
            exchange.drain().await?;
            elements.push(Bytes::from_static(b"{}"));
            elements.end();
        } else if let Err(error) = exchange.check_json() {
            exchange.drain().await?;
            return Err(error.into());
        }
        let memory = memory.shared();
        let mut reading = Self {
            exchange,
            elements,
            translator,
            memory,
            first: None,
            is_long: false,
            has_ended: false,
            deadline,
        };
        let mut first = Vec::new();
        let one = Framing { prefix: |_| [], most: 0 };
        match reading.next(&mut first, one).await {
            Ok(0) => {}
            Ok(_) => reading.first = Some(first),
            Err(failure) => return Err(reading.fail(failure).await),
        }
        Ok(reading)
    }

    /// Returns the failure that a list has with the same response.
    async fn fail(&mut self, failure: Failure) -> Failure {
        match failure {
            Failure::Response(error) => failed(&mut self.exchange, error).await,
            Failure::Upstream(error) => {
                self.exchange.fail(&error);
                error.into()
            }
            other => other,
        }
    }

    /// Lets the client read the rest at its own pace, until the deadline of the stream.
    pub(super) fn continue_until(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self.exchange = self.exchange.continue_until(deadline.at());
        self
    }

    /// Appends the next messages to `out`: waits for one, and adds those that have arrived,
    /// until there are as many bytes as `framing` says. Returns how many messages there
    /// are: none at the end.
    async fn next<const N: usize>(
        &mut self,
        out: &mut Vec<u8>,
        framing: Framing<N>,
    ) -> Result<u64, Failure> {
        if self.deadline.left().is_zero() {
            return Err(self.deadline.failure());
        }
        let translator = Arc::clone(&self.translator);
        let mut turn = None;
        let mut count = self.take_first(out, framing.prefix)?;
        while !self.has_ended && (count == 0 || out.len() < framing.most) {
            let window = self.elements.window();
            let read = if window <= TURN {
                if turn.is_none() {
                    turn = translator.turn(self.is_long && window > 0).await;
                }
                self.elements.next(out, framing)
            } else if count == 0 {
                turn = None;
                let elements = &mut self.elements;
                translator.work(window, || elements.next(out, framing)).await
            } else {
                break;
            };
            match self.follow(read, out) {
                Ok(Progress::Elements(more)) => count += more,
                Ok(Progress::Input) if count == 0 => {
                    turn = None;
                    self.read_chunk().await?;
                }
                Ok(Progress::Input) => break,
                Ok(Progress::Room(_) | Progress::Turn | Progress::End) => {}
                // The messages before are right, and the failure will be met again.
                Err(_) if count > 0 => break,
                Err(failure) => return Err(failure),
            }
        }
        self.is_long |= out.len() >= TURN;
        Ok(count)
    }

    /// Appends the message that was made before the response began, if it is left.
    fn take_first<const N: usize>(
        &mut self,
        out: &mut Vec<u8>,
        prefix: fn(usize) -> [u8; N],
    ) -> Result<u64, Failure> {
        let Some(first) = self.first.take() else { return Ok(0) };
        self.reserve(out.len() + N + first.len() + first.capacity())?;
        out.extend_from_slice(&prefix(first.len()));
        out.extend_from_slice(&first);
        Ok(1)
    }

    /// Waits for the next chunk of the response.
    async fn read_chunk(&mut self) -> Result<(), Failure> {
        let limit = self.exchange.limit();
        if self.elements.incomplete() >= limit {
            return Err(Error::TooLarge { limit }.into());
        }
        match self.exchange.chunk().await? {
            Some(chunk) => self.elements.push(chunk),
            None => self.elements.end(),
        }
        Ok(())
    }

    /// Does what is needed before the next element is read.
    fn follow(
        &mut self,
        read: Result<Progress, ResponseError>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Failure> {
        let progress = read.map_err(Failure::Response)?;
        match progress {
            Progress::Room(least) => self.make_room(least, out)?,
            Progress::End => self.has_ended = true,
            Progress::Elements(_) | Progress::Turn | Progress::Input => {}
        }
        Ok(progress)
    }

    /// Makes room for `least` bytes of messages, at least. The messages are in memory
    /// twice while they are moved.
    fn make_room(&self, least: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let old = out.capacity();
        let mut new = if least <= ROOM { ROOM } else { least.max(2 * old) };
        if self.reserve(old + new).is_err() {
            new = least;
            self.reserve(old + new)?;
        }
        out.reserve_exact(new - out.len());
        Ok(())
    }

    /// Reserves memory for this many bytes of messages, and for the JSON of an element that
    /// is read again when more of it has arrived. The chunk itself is the connection's.
    fn reserve(&self, bytes: usize) -> Result<(), Error> {
        let making = bytes + 2 * self.elements.incomplete();
        if making <= MAKING {
            return Ok(());
        }
        self.memory.grow_stream_to(BUFFERED + making).map_err(Error::NoMemory)
    }
}

/// The messages of a stream.
#[derive(Debug)]
pub struct Messages {
    reading: Reading,
    /// Until the stream has ended.
    record: Option<Record>,
    sent: u64,
    reserved: RpcReservation,
}

impl Messages {
    pub(super) fn new(
        reading: Reading,
        mut record: Record,
        reserved: RpcReservation,
    ) -> Self {
        record.sent(0);
        Self { reading, record: Some(record), sent: 0, reserved }
    }

    /// Returns the memory that the stream holds until the client has read it.
    #[must_use]
    pub fn memory(&self) -> Arc<ResponseMemory> {
        Arc::clone(&self.reserved.response)
    }

    /// Appends the wire bytes of the next messages to `out`, each behind a prefix that is
    /// made from its length. Waits for one, and adds those that have arrived, until there
    /// are `most` bytes. Reports whether there is a message; if not, the RPC has succeeded.
    ///
    /// # Errors
    ///
    /// As [`Gateway::call`](super::Gateway::call). The list is then incomplete.
    pub async fn next<const N: usize>(
        &mut self,
        out: &mut Vec<u8>,
        prefix: fn(usize) -> [u8; N],
        most: usize,
    ) -> Result<bool, Status> {
        let next = self.reading.next(out, Framing { prefix, most });
        let next = AssertUnwindSafe(next).catch_unwind().await;
        match next.unwrap_or(Err(Failure::Panic)) {
            Ok(0) => {
                if let Some(record) = self.record.take() {
                    record.succeed();
                }
                Ok(false)
            }
            Ok(count) => {
                self.sent += count;
                if let Some(record) = &mut self.record {
                    record.sent(self.sent);
                }
                Ok(true)
            }
            Err(failure) => {
                let failure = self.reading.deadline.explain(failure);
                let Some(mut record) = self.record.take() else { return Ok(false) };
                record.failed(&failure);
                Err(record.fail(failure))
            }
        }
    }
}
