//! The least that a gateway can be: a server, a client and the transcoder, with no
//! feature of the gateway. The measure of what the features cost.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes, buf::Chain};
use clap::Parser;
use gateway_bench::Error;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full, combinators::WithTrailers};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET},
    transcode,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{io::BufWriter, net::TcpListener};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OK: HeaderValue = HeaderValue::from_static("0");
const UNKNOWN: HeaderValue = HeaderValue::from_static("2");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The bytes of the flag and the length in front of a message.
const FRAME: usize = 5;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    /// URL of the upstream, without a path.
    #[arg(long)]
    upstream: String,
    /// PEM file of the certificate that is trusted.
    #[arg(long)]
    ca_file: PathBuf,
}

struct Lean {
    contract: Contract,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    upstream: String,
}

/// The frame and the message, sent as one.
type Message = Chain<Bytes, Bytes>;

type Trailers = Ready<Option<Result<HeaderMap, Infallible>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&arguments.ca_file)?)?;
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    let lean = Arc::new(Lean {
        contract: Contract::compile(DESCRIPTOR_SET)?,
        client: Client::builder(TokioExecutor::new()).build(connector),
        upstream: arguments.upstream,
    });

    let listener = TcpListener::bind(arguments.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // HTTP/2 flushes once per turn: all responses that are ready are one write.
        let io = TokioIo::new(BufWriter::with_capacity(64 * 1024, stream));
        let lean = lean.clone();
        let service = service_fn(move |request| {
            let lean = lean.clone();
            async move { Ok::<_, Infallible>(lean.respond(request).await) }
        });
        tokio::spawn(
            http2::Builder::new(TokioExecutor::new()).serve_connection(io, service),
        );
    }
}

impl Lean {
    async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> Response<WithTrailers<Full<Message>, Trailers>> {
        let (message, status) = match self.call(request).await {
            Ok(message) => (message, OK),
            Err(_) => (Bytes::new().chain(Bytes::new()), UNKNOWN),
        };
        let trailers = HeaderMap::from_iter([(STATUS, status)]);
        let body = Full::new(message).with_trailers(ready(Some(Ok(trailers))));
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, GRPC);
        response
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Message, Error> {
        let (head, body) = request.into_parts();
        let rpc = self.contract.rpc(head.uri.path()).ok_or("no such RPC")?;
        let mut message = body.collect().await?.to_bytes();
        if message.len() < FRAME {
            return Err("the message is cut short".into());
        }
        message.advance(FRAME);
        let rest = transcode::request(rpc, &message)?;

        let uri: Uri = format!("{}{}", self.upstream, rest.path_and_query).parse()?;
        let body = rest.body.map_or_else(Bytes::new, Bytes::from);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = rest.method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if let Some(key) = head.headers.get(AUTHORIZATION) {
            headers.insert(AUTHORIZATION, key.clone());
        }
        let response = self.client.request(request).await?;
        if !response.status().is_success() {
            return Err(response.status().to_string().into());
        }
        let json = response.into_body().collect().await?.to_bytes();
        let message = transcode::response(&rpc.response, &json, 2 * json.len())?;

        let mut frame = Vec::with_capacity(FRAME);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len())?);
        Ok(Bytes::from(frame).chain(Bytes::from(message)))
    }
}
