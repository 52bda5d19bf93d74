//! A client's connection to the target.

use std::{future::poll_fn, net::SocketAddr};

use bytes::Bytes;
use gateway_bench::{Error, Work, frame};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use tokio::net::TcpStream;

/// Large enough that no target waits for the client to take a response.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;

/// A connection and what each RPC on it has in common.
#[derive(Clone)]
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
    uri: Uri,
    headers: HeaderMap,
    message: Bytes,
}

impl Client {
    /// Opens a connection that uses the key of a number, and awaits the settings of the
    /// target.
    pub(crate) async fn connect(
        address: SocketAddr,
        work: Work,
        key: u32,
    ) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await?;
        tokio::spawn(connection);
        let key = format!("Bearer 8e5dcfdd-d23d-4e6f-a136-{key:012}");
        let mut headers = HeaderMap::new();
        headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert("grpc-timeout", HeaderValue::from_static("20S"));
        headers.insert(header::AUTHORIZATION, key.try_into()?);
        Ok(Self {
            sender: sender.ready().await?,
            uri: format!("http://{address}{}", work.path()).parse()?,
            headers,
            message: frame(work.request())?,
        })
    }

    /// Performs an RPC, and hands out each chunk of the response.
    ///
    /// # Errors
    ///
    /// If its status is not 0.
    pub(crate) async fn call(
        &mut self,
        work: Work,
        number: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let mut request = Request::post(&self.uri).body(())?;
        request.headers_mut().clone_from(&self.headers);
        if work == Work::Create {
            let key = HeaderValue::try_from(format!("share-{number:016}"))?;
            request.headers_mut().insert("idempotency-key", key);
        }
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut stream) = self.sender.send_request(request, false)?;
        stream.send_data(self.message.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            each(&chunk);
        }
        let trailers = body.trailers().await?.unwrap_or(head.headers);
        if trailers.get("grpc-status").is_none_or(|status| status != "0") {
            return Err(format!("HTTP {}, {trailers:?}", head.status).into());
        }
        Ok(())
    }
}
