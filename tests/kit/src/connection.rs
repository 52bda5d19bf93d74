//! One HTTP/2 connection of a client, and the RPCs on it.

use std::{error::Error, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::caller::Reply;

/// A connection. Its streams share it; it closes with the last of its clones.
#[derive(Debug, Clone)]
pub struct Connection {
    send: SendRequest<Bytes>,
}

/// The task that reads and writes for a connection, and ends with it.
pub type Driver = JoinHandle<Result<(), h2::Error>>;

impl Connection {
    pub async fn open(
        address: SocketAddr,
    ) -> Result<(Self, Driver), Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::over(stream).await
    }

    /// Opens a connection within TLS.
    pub async fn open_tls(
        address: SocketAddr,
        tls: &TlsConnector,
    ) -> Result<(Self, Driver), Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        Self::over(tls.connect(name, stream).await?).await
    }

    /// Begins HTTP/2 on a stream.
    pub async fn over<S>(
        stream: S,
    ) -> Result<(Self, Driver), Box<dyn Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = h2::client::handshake(stream).await?;
        Ok((Self { send }, tokio::spawn(connection)))
    }

    /// Sends the headers of an RPC. Returns the stream on which to send the body.
    pub async fn start<'a>(
        &self,
        path: &str,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut request =
            Request::post(format!("http://gateway{path}")).body(()).unwrap();
        for (name, value) in metadata {
            let name: HeaderName = name.parse().unwrap();
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(name, value);
        }
        let mut send = self.send.clone().ready().await?;
        send.send_request(request, false)
    }

    /// Sends a whole RPC, and reads the whole response.
    pub async fn call<'a>(
        &self,
        path: &str,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: Vec<u8>,
    ) -> Result<Reply, h2::Error> {
        let (response, mut stream) = self.start(path, metadata).await?;
        // A server that has read enough may reset the stream before its end.
        let _ = stream.send_data(body.into(), true);
        let (parts, mut incoming) = response.await?.into_parts();
        let mut body = BytesMut::new();
        while let Some(data) = incoming.data().await {
            let data = data?;
            incoming.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        let trailers = incoming.trailers().await?;
        Ok(Reply {
            status: parts.status,
            // A response without a body has its trailers in the place of headers.
            trailers: trailers.unwrap_or_else(|| HeaderMap::clone(&parts.headers)),
            headers: parts.headers,
            body: body.freeze(),
        })
    }
}
