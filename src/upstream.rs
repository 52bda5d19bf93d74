//! The one way to Polytomic.
//!
//! Nothing else here knows the HTTP client. What it must never do is settled in
//! one place: no redirects, no proxies from the environment, no referrer, no
//! retries of its own, no body beyond the limit, and no URL in an error.

mod base_url;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};

use tokio::time::{Instant, timeout_at};

pub use self::base_url::BaseUrl;
use crate::status::Failure;

/// How long it may take to reach Polytomic. A connection that takes longer is
/// not coming, and the caller's time is better spent on an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept. Below the 60 s after which common
/// load balancers close one, so that a call seldom meets a closing connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// What identifies the gateway to Polytomic.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("polytomic-gateway/", env!("CARGO_PKG_VERSION")));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client of one Polytomic.
#[derive(Debug, Clone)]
pub struct Upstream {
    client: reqwest::Client,
    url: BaseUrl,
    answer_limit: usize,
}

/// A request to Polytomic.
#[derive(Debug, Clone)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// The path and the query. Starts with `/`.
    pub path_and_query: String,
    /// The headers, but for those that every call has.
    pub headers: HeaderMap,
    /// The JSON body.
    pub body: Option<Bytes>,
}

/// An answer of Polytomic, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Upstream {
    /// Makes a client that accepts answers of up to `answer_limit` bytes.
    ///
    /// # Errors
    ///
    /// If the system's certificate authorities cannot be used.
    pub fn new(url: BaseUrl, answer_limit: usize) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .http2_adaptive_window(true)
            .build()
            .map_err(|error| Error(error.without_url().into()))?;
        Ok(Self { client, url, answer_limit })
    }

    /// Sends a call and reads the whole answer, until the deadline.
    ///
    /// Dropping the future ends the call at once.
    ///
    /// # Errors
    ///
    /// If there is no whole answer within the deadline and the size limit.
    pub async fn send(&self, call: Call, deadline: Instant) -> Result<Answer, Failure> {
        let url = self.url.join(&call.path_and_query);
        let mut request = self
            .client
            .request(call.method, url)
            .headers(call.headers)
            .header(ACCEPT, JSON);
        request = request.header(USER_AGENT, AGENT);
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, JSON).body(body);
        }
        let exchange = async {
            let response = request.send().await.map_err(failure)?;
            self.read(response).await
        };
        match timeout_at(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Timeout),
        }
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Answer, Failure> {
        let too_large = Failure::ResponseTooLarge { limit: self.answer_limit };
        let stated = response.content_length().unwrap_or(0);
        if stated > self.answer_limit as u64 {
            return Err(too_large);
        }

        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        let first = response.chunk().await.map_err(failure)?.unwrap_or_default();
        // An answer of one chunk is passed on as it is.
        let mut whole = first;
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if body.is_empty() {
                body.reserve(
                    usize::try_from(stated).unwrap_or(0).max(whole.len() + chunk.len()),
                );
                body.extend_from_slice(&whole);
                whole = Bytes::new();
            }
            body.extend_from_slice(&chunk);
            if body.len() > self.answer_limit {
                return Err(too_large);
            }
        }
        if !body.is_empty() {
            whole = body.freeze();
        }
        if whole.len() > self.answer_limit {
            return Err(too_large);
        }
        Ok(Answer { status, headers, body: whole })
    }
}

/// Why there can be no client: the cause, without a URL.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct Error(#[source] Box<dyn std::error::Error + Send + Sync>);

fn failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if error.is_connect() {
        Failure::ConnectFailed(error.into())
    } else if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::Reset(error.into())
    }
}
