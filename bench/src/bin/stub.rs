//! An upstream with the responses of Polytomic, rendered once: HTTP/1.1 and h2c on one
//! port, TLS with ALPN on another.
//!
//! Prints its addresses as one line of JSON. `GET /requests` returns the number of
//! requests so far, look-ups of keys not counted.

#![expect(clippy::print_stdout, reason = "a process of the benchmark prints its result")]

use std::{
    collections::HashMap,
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use clap::Parser;
use gateway_bench::{Error, Work};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use polytomic_gateway::contract::DESCRIPTOR_SET;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufWriter},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

const KEY: &str = r#"{"data":{"organization_id":"248df4b7-aa70-47b8-a036-33ac447e668d","organization_name":"Acme","is_partner":true}}"#;

#[derive(Parser)]
struct Arguments {
    /// Folder for what targets need: `ca.pem` and `descriptors.bin`.
    #[arg(long)]
    files: PathBuf,
}

#[derive(Default)]
struct Stub {
    requests: AtomicU64,
    rendered: Mutex<HashMap<Work, Bytes>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(arguments.files.join("ca.pem"), certificate.cert.pem())?;
    fs::write(arguments.files.join("descriptors.bin"), DESCRIPTOR_SET)?;
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der())?;
    let mut tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));

    let stub = Arc::new(Stub::default());
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let secure = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (plain_port, tls_port) =
        (plain.local_addr()?.port(), secure.local_addr()?.port());
    println!(r#"{{"plain":{plain_port},"tls":{tls_port}}}"#);
    tokio::try_join!(listen(plain, None, &stub), listen(secure, Some(acceptor), &stub))?;
    Ok(())
}

async fn listen(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stub: &Arc<Stub>,
) -> Result<(), Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (stub, tls) = (stub.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => stub.serve(stream).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => stub.serve(stream).await,
                    Err(error) => println!("TLS: {error}"),
                },
            }
        });
    }
}

impl Stub {
    async fn serve<S>(self: Arc<Self>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // HTTP/2 would write each response by itself.
        let io = TokioIo::new(BufWriter::with_capacity(64 * 1024, stream));
        let service = service_fn(move |request| {
            let stub = self.clone();
            async move { stub.respond(request).await }
        });
        // A target that is killed resets its connections.
        let _ =
            auto::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path();
        let (status, json) = if path == "/requests" {
            (StatusCode::OK, self.requests.load(Ordering::Relaxed).to_string().into())
        } else if !head.headers.contains_key(AUTHORIZATION) {
            (StatusCode::UNAUTHORIZED, Bytes::new())
        } else if path == "/api/me" {
            (StatusCode::OK, Bytes::from_static(KEY.as_bytes()))
        } else {
            match Work::of_request(&head.method, path) {
                Some(Work::Create) if !is_create(&body) => {
                    (StatusCode::BAD_REQUEST, Bytes::new())
                }
                Some(work) => {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                    (StatusCode::OK, self.json(work))
                }
                None => (StatusCode::NOT_FOUND, Bytes::new()),
            }
        };
        let mut response = Response::new(Full::new(json));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(response)
    }

    fn json(&self, work: Work) -> Bytes {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        rendered.entry(work).or_insert_with(|| work.json().into()).clone()
    }
}

/// Reports whether a body looks like that of a create, at little cost.
fn is_create(body: &[u8]) -> bool {
    const FIELD: &[u8] = br#""child_organization_id""#;
    body.windows(FIELD.len()).any(|window| window == FIELD)
}
