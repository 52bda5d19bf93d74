//! The page itself: its names, its form, and what is not in it.

use std::{fmt::Write, fs, path::Path, sync::Arc};

use super::*;
use kit::{
    caller::KEY,
    log::Log,
    tls::{Authority, TlsFiles, VALID},
};
use polytomic_gateway::telemetry::Writer;
use tokio_rustls::TlsConnector;
use tonic::Code;

/// What a client might want to be found.
const CANARY: &str = "canary-7d1f9a52-key";

/// A trace that is recorded, and an RPC that is part of it.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Returns the table of families, and the series that are there from the start.
fn describe(metrics: &Metrics) -> (String, String) {
    let mut table =
        "| name | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for family in metrics.families() {
        let kind = format!("{:?}", family.kind).to_lowercase();
        let labels: Vec<_> =
            family.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            table,
            "| `{}` | {kind} | {} | {} |",
            family.name,
            labels.join(", "),
            family.help
        )
        .unwrap();
    }
    let page = metrics.render(false);
    let mut series = String::new();
    for line in page.lines() {
        let line =
            if line.starts_with('#') { line } else { line.rsplit_once(' ').unwrap().0 };
        let is_of_histogram = line.contains("_bucket{") || line.contains("_sum{");
        // What the process has depends on the system, and its version on the release.
        let varies = line.starts_with("process_") || line.contains("version=");
        if !is_of_histogram && !varies {
            writeln!(series, "{line}").unwrap();
        }
    }
    (table, series)
}

#[tokio::test]
async fn names_types_labels_and_meanings_are_those_of_the_golden_file() {
    let gateway = Gateway::on_sandbox().await;
    Writer::to(std::io::sink()).unwrap().register(&gateway.metrics());
    let (table, series) = describe(&gateway.metrics());
    crate::docs::assert_table("docs/METRICS.md", "metrics", &table);
    crate::docs::assert_file("tests/integration/metrics/golden.txt", &series);
}

#[tokio::test]
async fn each_code_of_each_rpc_is_there_from_the_start() {
    let gateway = Gateway::on_sandbox().await;
    let values = values(&gateway.metrics());
    let handled: Vec<_> = values
        .keys()
        .filter(|series| series.starts_with("grpc_server_handled"))
        .collect();
    assert_eq!(handled.len(), 17 * (3 + 5 + 1));
    for name in ["Lists", "Create", "Streams", "Check", "Watch", "other"] {
        let of_rpc = format!(" {name} ");
        let codes = handled.iter().filter(|series| series.contains(&of_rpc)).count();
        assert_eq!(codes, 17, "{name}");
    }
}

/// `.ci/run metrics` has Prometheus's own tools check them.
#[tokio::test]
async fn pages_are_written_for_prometheus() {
    let fake = Fake::json(200, r#"{"data":[]}"#).await;
    let authority = Authority::new();
    let files = TlsFiles::new(&authority.issue(&[kit::HOST], VALID), &authority);
    let gateway = Gateway::with(&fake, &files.flags()).await;
    let tls = TlsConnector::from(Arc::new(authority.client(None)));
    let traced = Caller::list(gateway.address).with("traceparent", PARENT);
    assert_eq!(traced.tls(&tls).send().await.code(), Code::Ok);
    Writer::to(std::io::sink()).unwrap().register(&gateway.metrics());
    for (file, openmetrics) in [("metrics.txt", false), ("openmetrics.txt", true)] {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        fs::write(path, gateway.metrics().render(openmetrics)).unwrap();
    }
}

#[tokio::test]
async fn nothing_of_a_client_is_on_the_page_but_its_trace() {
    let _log = Log::keep();
    let gateway = Gateway::on_sandbox_with(&[]).await;
    for key in [CANARY, KEY] {
        for caller in [Caller::list, Caller::create, Caller::stream] {
            let caller = caller(gateway.address).without("authorization");
            let reply = caller
                .with("authorization", &format!("Bearer {key}"))
                .with("x-request-id", CANARY)
                .with("idempotency-key", CANARY)
                .with("traceparent", PARENT)
                .send()
                .await;
            drop(reply);
        }
    }
    let unknown = Caller::list(gateway.address).path(&format!("/{CANARY}/{CANARY}"));
    unknown.with("traceparent", CANARY).send().await;
    let pages = [false, true].map(|openmetrics| gateway.metrics().render(openmetrics));
    for page in &pages {
        for text in [CANARY, KEY, "248df4b7", "canary"] {
            assert!(!page.contains(text), "{text}");
        }
    }
    let [text, openmetrics] = pages;
    assert!(!text.contains(TRACE));
    let exemplar = format!(" # {{trace_id=\"{TRACE}\"}} 1.0 ");
    let traced = openmetrics.lines().filter(|line| line.contains(&exemplar));
    let traced: Vec<_> = traced.collect();
    assert!(traced.iter().all(|line| line.starts_with("grpc_server_handled_total{")));
    assert!(traced.iter().any(|line| line.contains("grpc_code=\"OK\"")), "{traced:?}");
    assert!(traced.iter().any(|line| line.contains("grpc_code=\"Unauthenticated\"")));
}
