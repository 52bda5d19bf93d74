//! The metrics of a gateway, as numbers.

use std::collections::BTreeMap;

use polytomic_gateway::telemetry::Metrics;
use tokio::{task::yield_now, time::timeout};

use crate::HANG_GUARD;

/// The value of each series. Those of one family begin with its name.
pub type Values = BTreeMap<String, i64>;

/// The path template of the RPCs of the contract, their service, and what their names
/// have in common.
const LONG: [(&str, &str); 3] = [
    ("/api/organizations/{org_id}/connections/{connection_id}/shared", "shared"),
    ("polytomic.connections.v1.PartnerSharedConnectionsService", ""),
    ("PartnerSharedConnection", ""),
];

/// Returns the value of each series: its name and the values of its labels in their order,
/// such as `grpc_server_handled_total unary Lists OK`. Whole numbers only: of a histogram,
/// the count. Nothing about the process, which always changes.
pub fn values(metrics: &Metrics) -> Values {
    let page = metrics.render(false);
    let samples = page.lines().filter(|line| !line.starts_with(['#', 'p']));
    samples.filter_map(sample).collect()
}

fn sample(line: &str) -> Option<(String, i64)> {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    if name.ends_with("_bucket") || name.ends_with("_sum") {
        return None;
    }
    let mut series = name.to_owned();
    for label in labels.split('"').skip(1).step_by(2) {
        let short = LONG
            .iter()
            .fold(label.to_owned(), |label, (long, short)| label.replace(long, short));
        if !short.is_empty() {
            series.push(' ');
            series.push_str(&short);
        }
    }
    Some((series, value.parse().ok()?))
}

/// Returns what has changed since `before`.
pub fn changes(metrics: &Metrics, before: &Values) -> Values {
    let change = |(series, value): (String, i64)| {
        let change = value - before.get(&series).unwrap_or(&0);
        (change != 0).then_some((series, change))
    };
    values(metrics).into_iter().filter_map(change).collect()
}

/// Waits until exactly these series have changed by so much since `before`.
pub async fn await_changes(
    cause: &str,
    metrics: &Metrics,
    before: &Values,
    expected: &[(&str, i64)],
) {
    let expected: Values =
        expected.iter().map(|(series, change)| ((*series).to_owned(), *change)).collect();
    let changed = async {
        while changes(metrics, before) != expected {
            yield_now().await;
        }
    };
    if timeout(HANG_GUARD / 10, changed).await.is_err() {
        assert_eq!(changes(metrics, before), expected, "{cause}");
    }
}
