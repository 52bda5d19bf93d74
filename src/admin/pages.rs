//! The pages, and which request gets which.

use std::{fmt::Write, net::SocketAddr};

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, header::ALLOW, request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    Sources,
    accept::prefers,
    guard, overview, readiness,
    reply::{CSS, HTML, JSON, Reply, TEXT, line, reply},
};
use crate::telemetry::{LogFilter, Metrics};

/// Maximum bytes of a request's body: the longest log filter.
const BODY: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Overview,
    Style,
    Livez,
    Readyz,
    Metrics,
    Config,
    LogLevel,
}

impl Page {
    const ALL: [Self; 7] = [
        Self::Overview,
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
        Self::Config,
        Self::LogLevel,
        Self::Style,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Style => "/style.css",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::Config => "/configz",
            Self::LogLevel => "/loglevel",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Overview => "the state of the gateway, for people",
            Self::Style => "the style sheet of that page",
            Self::Livez => "200 while the process serves",
            Self::Readyz => "200 if the gateway should get RPCs, else 503 and the reason",
            Self::Metrics => "metrics for Prometheus",
            Self::Config => "the settings at start, without secrets",
            Self::LogLevel => "the log filter; PUT replaces it",
        }
    }

    /// Reports whether probes and scrapers read it, which may know the gateway by a name.
    fn is_for_monitoring(self) -> bool {
        matches!(self, Self::Livez | Self::Readyz | Self::Metrics)
    }

    fn methods(self) -> &'static str {
        if self == Self::LogLevel { "GET, HEAD, PUT" } else { "GET, HEAD" }
    }
}

/// The pages of a gateway.
#[derive(Debug)]
pub(super) struct Pages {
    sources: Sources,
    started: Instant,
}

impl Pages {
    pub(super) fn new(sources: Sources) -> Self {
        Self { sources, started: Instant::now() }
    }

    /// Returns the response to a request of a peer.
    pub(super) async fn respond(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Reply {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let page = self.present().find(|page| page.path() == path);
        let is_for_monitoring = page.is_some_and(Page::is_for_monitoring);
        if let Err(error) = guard::check_host(&head, peer.ip(), is_for_monitoring) {
            return line(error.status(), error);
        }
        let Some(page) = page else { return self.not_found() };
        match head.method {
            Method::GET | Method::HEAD => self.show(page, &head.headers),
            Method::PUT if page == Page::LogLevel => {
                self.set_log_filter(&head, peer, body).await
            }
            _ => not_allowed(page),
        }
    }

    /// Returns the pages that have a source.
    fn present(&self) -> impl Iterator<Item = Page> {
        let has_log = self.sources.log.is_some();
        Page::ALL.into_iter().filter(move |page| *page != Page::LogLevel || has_log)
    }

    fn show(&self, page: Page, headers: &HeaderMap) -> Reply {
        let Sources { log, metrics, settings, configuration, .. } = &self.sources;
        match page {
            Page::Overview => {
                let others = self
                    .present()
                    .filter(|page| !matches!(page, Page::Overview | Page::Style));
                let others = others.map(|page| (page.path(), page.about()));
                let uptime = self.started.elapsed();
                let page = overview::page(&self.sources, uptime, others);
                reply(StatusCode::OK, HTML, page)
            }
            Page::Style => reply(StatusCode::OK, CSS, include_str!("style.css")),
            Page::Livez => line(StatusCode::OK, "ok"),
            Page::Readyz => match readiness::check(&self.sources) {
                Ok(()) => line(StatusCode::OK, "ok"),
                Err(reason) => line(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            Page::Metrics => {
                let openmetrics =
                    prefers(headers, "application/openmetrics-text", "text/plain");
                let format =
                    if openmetrics { Metrics::OPENMETRICS } else { Metrics::PROMETHEUS };
                reply(StatusCode::OK, format, metrics.render(openmetrics))
            }
            Page::Config if prefers(headers, JSON, "text/plain") => {
                let json = serde_json::to_vec(&**settings).expect("texts are valid JSON");
                reply(StatusCode::OK, JSON, json)
            }
            Page::Config => reply(StatusCode::OK, TEXT, configuration.to_string()),
            Page::LogLevel => {
                let filter = log.as_ref().map(LogFilter::text);
                line(StatusCode::OK, filter.unwrap_or_default())
            }
        }
    }

    async fn set_log_filter(
        &self,
        head: &Parts,
        peer: SocketAddr,
        body: Incoming,
    ) -> Reply {
        if let Err(error) = guard::check_change(head, peer.ip()) {
            return line(error.status(), error);
        }
        let body = match Limited::new(body, BODY).collect().await {
            Ok(body) => body,
            Err(error) if error.is::<LengthLimitError>() => {
                let problem = format!("a log filter has at most {BODY} bytes");
                return line(StatusCode::PAYLOAD_TOO_LARGE, problem);
            }
            Err(_) => return line(StatusCode::BAD_REQUEST, "the body is malformed"),
        };
        let text = body.to_bytes();
        let (Some(log), Ok(text)) = (&self.sources.log, str::from_utf8(&text)) else {
            return line(StatusCode::BAD_REQUEST, "the log filter is not UTF-8");
        };
        match log.set(text.trim()) {
            Ok(()) => line(StatusCode::OK, log.text()),
            Err(problem) => line(StatusCode::BAD_REQUEST, problem),
        }
    }

    fn not_found(&self) -> Reply {
        let mut text = "There is no such page. The pages are:\n".to_owned();
        for page in self.present() {
            let _ = writeln!(text, "{:<10} {}", page.path(), page.about());
        }
        reply(StatusCode::NOT_FOUND, TEXT, text)
    }
}

fn not_allowed(page: Page) -> Reply {
    let (path, methods) = (page.path(), page.methods());
    let text = format!("{path} has the methods {methods}");
    let mut response = line(StatusCode::METHOD_NOT_ALLOWED, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_is_in_the_table_of_the_docs() {
        let docs = include_str!("../../docs/OPERATIONS.md");
        let (_, section) = docs.split_once("## Admin listener").expect("it is there");
        let rows = section.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
        let rows = rows.map_while(|line| line.strip_prefix("| `")?.split('`').next());
        let pages = Page::ALL.map(Page::path);
        let pages = pages.into_iter().filter(|path| *path != Page::Style.path());
        assert_eq!(rows.collect::<Vec<_>>(), pages.collect::<Vec<_>>());
    }
}
