//! The upstream's side of HTTP/2, frame by frame: a library would not misbehave.
//!
//! Requests are read as they come; responses are written one after the other.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    time::Duration,
};

use loona_hpack::Decoder;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    Response, Seen,
    play::{Side, write_all},
};
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PREFACE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame, parse,
};

/// The largest frame that every peer accepts.
const MAX_FRAME: usize = 16_384;

const INITIAL_WINDOW_SIZE: [u8; 2] = 4_u16.to_be_bytes();

/// The window of a connection, and of a stream unless SETTINGS name another.
const DEFAULT_WINDOW: i64 = 65_535;

pub(super) struct Http2<'a, S> {
    stream: &'a mut S,
    buffer: Vec<u8>,
    has_begun: bool,
    decoder: Decoder<'static>,
    header_block: Vec<u8>,
    /// Requests that are not whole yet.
    receiving: HashMap<u32, Seen>,
    received: VecDeque<(u32, Seen)>,
    /// The stream of the request that was returned last.
    current: u32,
    reset: HashSet<u32>,
    initial_window: i64,
    window: i64,
    /// How each stream's window differs from the initial one, which a peer may change
    /// at any time for all streams (RFC 9113, section 6.9.2).
    windows: HashMap<u32, i64>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Http2<'a, S> {
    pub(super) fn new(stream: &'a mut S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            has_begun: false,
            decoder: Decoder::new(),
            header_block: Vec::new(),
            receiving: HashMap::new(),
            received: VecDeque::new(),
            current: 0,
            reset: HashSet::new(),
            initial_window: DEFAULT_WINDOW,
            window: DEFAULT_WINDOW,
            windows: HashMap::new(),
        }
    }

    /// Reads the client's preface and sends settings, all of them defaults.
    async fn begin(&mut self) -> io::Result<()> {
        while self.buffer.len() < PREFACE.len() {
            self.read().await?;
        }
        self.buffer.drain(..PREFACE.len());
        self.has_begun = true;
        self.write(&frame(SETTINGS, 0, 0, b"")).await
    }

    async fn read(&mut self) -> io::Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Reads a frame, and does what it asks for. Nothing is lost if the future is
    /// dropped while it waits.
    async fn handle_frame(&mut self) -> io::Result<()> {
        let Frame { kind, flags, stream, payload } = loop {
            if let Some(frame) = parse(&mut self.buffer) {
                break frame;
            }
            self.read().await?;
        };
        match kind {
            HEADERS | CONTINUATION => {
                self.header_block.extend(payload);
                if flags & END_HEADERS != 0 {
                    let seen = self.decode_headers();
                    self.receiving.insert(stream, seen);
                }
                if kind == HEADERS && flags & END_STREAM != 0 {
                    self.receive(stream);
                }
            }
            DATA => {
                if let Some(seen) = self.receiving.get_mut(&stream) {
                    seen.body.extend(payload);
                }
                if flags & END_STREAM != 0 {
                    self.receive(stream);
                }
            }
            RST_STREAM => {
                self.reset.insert(stream);
                self.receiving.remove(&stream);
            }
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    if setting[..2] == INITIAL_WINDOW_SIZE {
                        self.initial_window = number(&setting[2..]);
                    }
                }
                self.write(&frame(SETTINGS, ACK, 0, b"")).await?;
            }
            PING if flags & ACK == 0 => {
                self.write(&frame(PING, ACK, 0, &payload)).await?;
            }
            WINDOW_UPDATE if stream == 0 => self.window += number(&payload),
            WINDOW_UPDATE => {
                *self.windows.entry(stream).or_default() += number(&payload);
            }
            _ => {}
        }
        Ok(())
    }

    fn decode_headers(&mut self) -> Seen {
        let block = std::mem::take(&mut self.header_block);
        let fields = self.decoder.decode(&block).expect("valid HPACK");
        let (mut method, mut path, mut seen) =
            (String::new(), String::new(), Seen::default());
        for (name, value) in fields {
            let name = String::from_utf8(name).unwrap();
            let value = String::from_utf8(value).unwrap();
            match name.as_str() {
                ":method" => method = value,
                ":path" => path = value,
                ":authority" => seen.headers.push(("host".to_owned(), value)),
                ":scheme" => {}
                _ => seen.headers.push((name, value)),
            }
        }
        seen.line = format!("{method} {path} HTTP/2");
        seen
    }

    fn receive(&mut self, stream: u32) {
        self.received.extend(self.receiving.remove(&stream).map(|seen| (stream, seen)));
    }

    /// Fails if the peer has reset the stream of the request.
    fn check_open(&self) -> io::Result<()> {
        if self.is_reset() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }

    /// Returns how much of a body the peer allows now.
    fn available(&self) -> i64 {
        let difference = self.windows.get(&self.current).copied().unwrap_or_default();
        self.window.min(self.initial_window + difference)
    }

    async fn headers(&mut self, response: &Response, flags: u8) -> io::Result<()> {
        let status = response.status.to_string();
        let headers = response.headers.iter().map(|(name, value)| (&**name, &**value));
        let block = fields([(":status", &*status)].into_iter().chain(headers));
        let mut kind = HEADERS;
        let mut chunks = block.chunks(MAX_FRAME).peekable();
        while let Some(chunk) = chunks.next() {
            let end = if chunks.peek().is_none() { END_HEADERS } else { 0 };
            let flags = if kind == HEADERS { flags } else { 0 };
            self.frame(kind, end | flags, None, chunk).await?;
            kind = CONTINUATION;
        }
        Ok(())
    }

    async fn body(&mut self, bytes: &[u8], flags: u8) -> io::Result<()> {
        let mut chunks = bytes.chunks(MAX_FRAME).peekable();
        while let Some(chunk) = chunks.next() {
            let size = i64::try_from(chunk.len()).unwrap();
            while self.available() < size {
                self.handle_frame().await?;
                self.check_open()?;
            }
            self.window -= size;
            *self.windows.entry(self.current).or_default() -= size;
            let flags = if chunks.peek().is_none() { flags } else { 0 };
            self.frame(DATA, flags, None, chunk).await?;
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side for Http2<'_, S> {
    async fn request(&mut self) -> io::Result<Option<Seen>> {
        if !self.has_begun {
            self.begin().await?;
        }
        loop {
            if let Some((stream, seen)) = self.received.pop_front() {
                self.current = stream;
                return Ok(Some(seen));
            }
            self.handle_frame().await?;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all(self.stream, bytes).await
    }

    async fn respond(&mut self, response: Response) -> io::Result<()> {
        let response = response.with_length();
        if response.body.is_empty() {
            return self.headers(&response, END_STREAM).await;
        }
        self.headers(&response, 0).await?;
        self.body(&response.body, END_STREAM).await
    }

    async fn head(&mut self, response: &Response) -> io::Result<()> {
        self.headers(response, 0).await
    }

    async fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.body(bytes, 0).await
    }

    async fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: Option<u32>,
        payload: &[u8],
    ) -> io::Result<()> {
        let stream = stream.unwrap_or(self.current);
        self.write(&frame(kind, flags, stream, payload)).await
    }

    async fn pause(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while let Ok(handled) = timeout_at(end, self.handle_frame()).await {
            handled?;
            self.check_open()?;
        }
        Ok(())
    }

    async fn abandoned(&mut self) {
        while !self.is_reset() && self.handle_frame().await.is_ok() {}
    }

    fn is_reset(&self) -> bool {
        self.reset.contains(&self.current)
    }

    async fn close_write(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

fn number(bytes: &[u8]) -> i64 {
    u32::from_be_bytes(bytes.try_into().unwrap()).into()
}
