//! An upstream that follows a test's script to the byte, and records the
//! requests that it receives.

mod http1;
mod http2;
mod play;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use self::play::accepted;
use crate::{HOST, Protocol, tls::Authority};

/// The documented responses: to a list, and to a create.
pub const LISTED: &str = r#"{"data":[]}"#;
pub const CREATED: &str = r#"{"data":{"id":"248df4b7-aa70-47b8-a036-33ac447e668d"}}"#;

pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A fake upstream. It lives until the test's runtime ends.
pub struct Fake {
    url: String,
    /// The CA of its certificate, if a gateway must be given one.
    authority: Option<Authority>,
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
pub struct Script {
    /// What it does with a new connection before it reads.
    pub greeting: Vec<Step>,
    /// What it does with each request, in order; the last serves all others too.
    pub reactions: Vec<Vec<Step>>,
    /// What it does with each look-up of a key, if those are not among the reactions.
    pub look_up: Option<Vec<Step>>,
    /// How it speaks TLS, if it does. Without it, HTTP/2 has a certificate of an
    /// authority that [`Fake::flags`] names.
    pub tls: Option<TlsAcceptor>,
    pub protocol: Protocol,
}

/// A response: status, headers and body.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// One thing that an upstream does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes bytes to the connection, whatever they mean there.
    Write(Vec<u8>),
    /// Writes the documented response to the request.
    Answer,
    /// Writes a whole response.
    Respond(Response),
    /// Writes the status and the headers of a response, and no end.
    Head(Response),
    /// Writes a part of a body, and no end.
    Data(Vec<u8>),
    /// Writes parts of a body of a byte each, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Waits.
    Pause(Duration),
    /// Writes a part of a body again and again until the peer abandons the request.
    Flood(Vec<u8>),
    /// Closes its end of the connection, and continues.
    HalfClose,
    /// Waits until the peer abandons the request.
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

/// A request as it came over the wire.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The request line, for example `GET /path HTTP/1.1`.
    pub line: String,
    /// The headers, names in lower case, in the order of the wire. `:authority` is
    /// recorded as `host`.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    /// Returns the value of a header that was sent once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} was sent twice");
        value
    }

    /// Reports whether it asks for the identity of a key.
    pub fn is_look_up(&self) -> bool {
        self.line.starts_with("GET /api/me ")
    }

    /// Returns the names of the headers, sorted.
    pub fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

impl Script {
    /// Returns a script of reactions, without a greeting.
    pub fn new(protocol: Protocol, reactions: Vec<Vec<Step>>) -> Self {
        Self { reactions, protocol, ..Self::default() }
    }
}

impl Response {
    pub fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, *value));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { status, headers: headers.collect(), body: body.to_vec() }
    }

    /// Returns a response with a body of JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self::new(status, JSON, body.as_bytes())
    }

    /// Returns the same with the length of its body, where it has one.
    fn with_length(mut self) -> Self {
        // These statuses have no body by definition, and so no length.
        if ![204, 304].contains(&self.status) {
            let length = self.body.len().to_string();
            self.headers.push(("content-length".to_owned(), length));
        }
        self
    }
}

/// Writes a response with a length, as HTTP/1.1.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let response = Response::new(status, headers, body).with_length();
    let mut bytes = http1::head(&response);
    bytes.extend_from_slice(body);
    bytes
}

impl Fake {
    /// Starts an upstream that gives these responses in order, over HTTP/1.1, and
    /// closes the connection at one request more.
    pub async fn answering(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let reactions = answers.into_iter().map(|bytes| vec![Step::Write(bytes)]);
        let reactions = reactions.chain([vec![Step::Close]]).collect();
        Self::playing(Script::new(Protocol::Http1, reactions)).await
    }

    /// Starts an upstream that gives these responses in order, and closes the
    /// connection at one request more.
    pub async fn responding(
        protocol: Protocol,
        responses: impl IntoIterator<Item = Response>,
    ) -> Self {
        let reactions =
            responses.into_iter().map(|response| vec![Step::Respond(response)]);
        let reactions = reactions.chain([vec![Step::Close]]).collect();
        Self::playing(Script::new(protocol, reactions)).await
    }

    /// Starts an upstream that gives one response, over HTTP/1.1.
    pub async fn json(status: u16, body: &str) -> Self {
        Self::json_over(Protocol::Http1, status, body).await
    }

    /// Starts an upstream that gives one response: a status and a JSON body.
    pub async fn json_over(protocol: Protocol, status: u16, body: &str) -> Self {
        Self::responding(protocol, [Response::json(status, body)]).await
    }

    /// Starts an upstream that plays a script.
    pub async fn playing(mut script: Script) -> Self {
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = script.protocol == Protocol::Http2 && script.tls.is_none();
        let authority = own.then(Authority::new);
        if let Some(authority) = &authority {
            script.tls = Some(authority.server(script.protocol));
        }
        let scheme = if script.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let state = Arc::new(State { script, ..State::default() });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepted(stream, Arc::clone(&shared)));
            }
        });
        Self { url, authority, state }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns the flags of a gateway on this upstream.
    pub fn flags(&self) -> Vec<&str> {
        let mut flags = vec!["--upstream-url", &self.url];
        if let Some(authority) = &self.authority {
            flags.extend(["--upstream-ca-file", authority.file()]);
        }
        flags
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Returns the only request so far.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }

    /// Returns how many bytes the peers have let it write so far.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Returns how many requests were abandoned while it stalled.
    pub fn deserted(&self) -> u64 {
        self.state.deserted.load(Ordering::Relaxed)
    }

    /// Responds from now on, instead of continuing the script.
    pub fn heal(&self) {
        self.state.healed.store(true, Ordering::Relaxed);
    }
}

impl State {
    /// Records a request, and returns how to react.
    fn react(&self, seen: Seen) -> Vec<Step> {
        let Script { reactions, look_up, .. } = &self.script;
        let look_up = look_up.as_ref();
        let is_apart = |seen: &Seen| look_up.is_some() && seen.is_look_up();
        let mut all = self.seen.lock().unwrap();
        let before = all.iter().filter(|seen| !is_apart(seen)).count();
        let look_up = look_up.filter(|_| seen.is_look_up());
        all.push(seen);
        match look_up {
            Some(steps) => steps.clone(),
            None if self.healed.load(Ordering::Relaxed) => vec![Step::Answer],
            None => reactions[before.min(reactions.len() - 1)].clone(),
        }
    }
}
