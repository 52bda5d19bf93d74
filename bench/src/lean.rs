//! What the lean reference and the relay share: the least of a server and a client.

use std::{convert::Infallible, path::Path};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET, Rpc},
    transcode,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{io::BufWriter, net::TcpListener};

use crate::{Arguments, Error, FRAME};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A gateway without features: it sends the REST request of an RPC.
#[derive(Debug)]
pub struct Lean {
    contract: Contract,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    upstream: String,
}

impl Lean {
    /// Makes the client, which trusts the certificate.
    ///
    /// # Errors
    ///
    /// If the certificate is not readable, or the contract is not valid.
    pub fn new(arguments: &Arguments) -> Result<Self, Error> {
        Ok(Self {
            contract: Contract::compile(DESCRIPTOR_SET)?,
            client: Client::builder(TokioExecutor::new())
                .build(connector(&arguments.ca_file)?),
            upstream: arguments.upstream.clone(),
        })
    }

    /// Returns the RPC of a request, and the response of the upstream.
    ///
    /// # Errors
    ///
    /// If the request is not of an RPC, or the response is not a success.
    pub async fn send(
        &self,
        request: Request<Incoming>,
    ) -> Result<(&Rpc, Response<Incoming>), Error> {
        let (head, body) = request.into_parts();
        let rpc = self.contract.rpc(head.uri.path()).ok_or("no such RPC")?;
        let mut message = body.collect().await?.to_bytes();
        if message.len() < FRAME {
            return Err("the message is cut short".into());
        }
        message.advance(FRAME);
        let rest = transcode::request(rpc, &message)?;

        let body = rest.body.map_or_else(Bytes::new, Bytes::from);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = rest.method;
        *request.uri_mut() =
            format!("{}{}", self.upstream, rest.path_and_query).parse()?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if let Some(key) = head.headers.get(AUTHORIZATION) {
            headers.insert(AUTHORIZATION, key.clone());
        }
        let response = self.client.request(request).await?;
        if !response.status().is_success() {
            return Err(response.status().to_string().into());
        }
        Ok((rpc, response))
    }
}

fn connector(ca_file: &Path) -> Result<HttpsConnector<HttpConnector>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http))
}

/// Listens, and answers each request.
///
/// # Errors
///
/// If the address is not free, or a connection cannot be accepted.
pub async fn serve<B, F>(
    arguments: &Arguments,
    respond: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    B: Body<Error: Into<Error>, Data: Send> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    let listener = TcpListener::bind(arguments.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // HTTP/2 flushes once per turn: all responses that are ready are one write.
        let io = TokioIo::new(BufWriter::with_capacity(64 * 1024, stream));
        let respond = respond.clone();
        let service = service_fn(move |request| {
            let response = respond(request);
            async move { Ok::<_, Infallible>(response.await) }
        });
        tokio::spawn(
            http2::Builder::new(TokioExecutor::new()).serve_connection(io, service),
        );
    }
}

/// Returns a gRPC response with this body.
pub fn response<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// Returns the trailers of a response: status 0, or 2 for an error.
#[must_use]
pub fn trailers(ok: bool) -> HeaderMap {
    let status = HeaderValue::from_static(if ok { "0" } else { "2" });
    HeaderMap::from_iter([(STATUS, status)])
}
