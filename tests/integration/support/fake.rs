//! An upstream that does what a test tells it to, to the byte, and keeps what it
//! was sent.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{frames, http2};

const LISTED: &str = r#"{"data":[]}"#;
const CREATED: &str = r#"{"data":{"id":"248df4b7-aa70-47b8-a036-33ac447e668d"}}"#;

/// A fake upstream. It lives until the test's runtime ends.
pub(crate) struct Fake {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    script: Script,
    seen: Mutex<Vec<Seen>>,
    written: AtomicU64,
    deserted: AtomicU64,
    healed: AtomicBool,
}

/// What an upstream does.
#[derive(Default, Clone)]
pub(crate) struct Script {
    /// What it does with a new connection before it reads.
    pub(crate) greeting: Vec<Step>,
    /// What it does with each request, in order; the last serves all others too.
    pub(crate) reactions: Vec<Vec<Step>>,
    /// How it speaks TLS, if it does.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether it speaks HTTP/2 (within TLS).
    pub(crate) h2: bool,
}

/// One thing that an upstream does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes bytes.
    Write(Vec<u8>),
    /// Writes the documented answer to the request.
    Answer,
    /// Writes bytes one by one, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Writes bytes over and over until the peer leaves.
    Flood(Vec<u8>),
    /// Closes its end of the connection, and goes on.
    HalfClose,
    /// Waits until the peer leaves.
    Stall,
    /// Ends the connection with a FIN.
    Close,
    /// Ends the connection with a RST.
    Reset,
    /// Writes an HTTP/2 frame on the request's stream.
    Frame(u8, u8, Vec<u8>),
    /// Writes an HTTP/2 GOAWAY that names the last stream processed, and a code.
    GoAway(u32, u32),
}

/// How a connection goes on after a script.
#[derive(PartialEq)]
enum Next {
    Request,
    Close,
    Reset,
}

/// A request as it came over the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The request line, for example `GET /path HTTP/1.1`.
    pub(crate) line: String,
    /// The headers, names in lower case, in the order of the wire.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// Returns the value of a header that was sent once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} was sent twice");
        value
    }

    /// Returns the names of the headers, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

impl Fake {
    /// Starts an upstream that gives each answer once, in order, whoever asks.
    /// Then it closes connections without an answer.
    pub(crate) async fn answering(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let answers = answers.into_iter().map(|bytes| vec![Step::Write(bytes)]);
        let reactions = answers.chain([vec![Step::Close]]).collect();
        Self::playing(Script { reactions, ..Script::default() }).await
    }

    /// Starts an upstream that gives one answer: a status and a JSON body.
    pub(crate) async fn json(status: u16, body: &str) -> Self {
        Self::answering([answer(
            status,
            &[("content-type", "application/json")],
            body.as_bytes(),
        )])
        .await
    }

    /// Starts an upstream that plays a script.
    pub(crate) async fn playing(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if script.tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State { script, ..State::default() });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepted(stream, Arc::clone(&shared)));
            }
        });
        Self { address, scheme, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Returns how many bytes the peers have let it write so far.
    pub(crate) fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Returns how many peers have left while it stalled.
    pub(crate) fn deserted(&self) -> u64 {
        self.state.deserted.load(Ordering::Relaxed)
    }

    /// Answers from now on, whatever the script says.
    pub(crate) fn heal(&self) {
        self.state.healed.store(true, Ordering::Relaxed);
    }

    /// Returns the only request so far.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }
}

/// Writes an answer with a length.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Status\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    // These statuses have no body by definition, and so no length.
    if ![204, 304].contains(&status) {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

async fn accepted(mut stream: TcpStream, state: Arc<State>) {
    stream.set_nodelay(true).unwrap();
    let next = match state.script.tls.clone() {
        None => converse(&mut stream, &state).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(mut tls) => {
                let next = converse(&mut tls, &state).await;
                stream = tls.into_inner().0;
                next
            }
            Err(_) => return,
        },
    };
    if matches!(next, Ok(Next::Reset)) {
        // Without lingering the close that follows is a reset, not a FIN.
        stream.set_zero_linger().unwrap();
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    state: &State,
) -> io::Result<Next> {
    let next = play(stream, state, &state.script.greeting, ("", 0)).await?;
    if next != Next::Request {
        return Ok(next);
    }
    let mut buffer = Vec::new();
    if state.script.h2 {
        http2::begin(stream).await?;
    }
    loop {
        let (seen, id) = if state.script.h2 {
            (Seen::default(), http2::read_request(stream).await?)
        } else {
            let Some(seen) = read_request(stream, &mut buffer).await else {
                return Ok(Next::Close);
            };
            (seen, 0)
        };
        let line = seen.line.clone();
        let reaction = {
            let mut all = state.seen.lock().unwrap();
            all.push(seen);
            let reactions = &state.script.reactions;
            if state.healed.load(Ordering::Relaxed) {
                vec![Step::Answer]
            } else {
                reactions[(all.len() - 1).min(reactions.len() - 1)].clone()
            }
        };
        let next = play(stream, state, &reaction, (&line, id)).await?;
        if next != Next::Request {
            return Ok(next);
        }
    }
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    state: &State,
    steps: &[Step],
    (line, id): (&str, u32),
) -> io::Result<Next> {
    for step in steps {
        match step {
            Step::Write(bytes) => write(stream, state, bytes).await?,
            Step::Answer => {
                let body = if line.starts_with("POST") { CREATED } else { LISTED };
                let json = [("content-type", "application/json")];
                let bytes = answer(200, &json, body.as_bytes());
                write(stream, state, &bytes).await?;
            }
            Step::Drip(bytes, pause) => {
                for byte in bytes.chunks(1) {
                    tokio::time::sleep(*pause).await;
                    write(stream, state, byte).await?;
                }
            }
            Step::Flood(bytes) => loop {
                write(stream, state, bytes).await?;
            },
            Step::HalfClose => stream.shutdown().await?,
            Step::Stall => {
                while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {}
                state.deserted.fetch_add(1, Ordering::Relaxed);
                return Ok(Next::Close);
            }
            Step::Close => return Ok(Next::Close),
            Step::Reset => return Ok(Next::Reset),
            Step::Frame(kind, flags, payload) => {
                let bytes = frames::frame(*kind, *flags, id, payload);
                write(stream, state, &bytes).await?;
            }
            Step::GoAway(last, code) => {
                let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
                let bytes = frames::frame(frames::GOAWAY, 0, 0, &payload);
                write(stream, state, &bytes).await?;
            }
        }
    }
    Ok(Next::Request)
}

async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    state: &State,
    bytes: &[u8],
) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    state.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Option<Seen> {
    let end = loop {
        if let Some(place) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break place;
        }
        read_more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
    let mut lines = head.trim_end().lines();
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < length {
        read_more(stream, buffer).await?;
    }
    let body = buffer.drain(..length).collect();
    Some(Seen { line, headers, body })
}

async fn read_more<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Option<()> {
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}
