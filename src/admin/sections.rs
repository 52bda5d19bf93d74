//! What the page for people has about each room.

use std::time::Duration;

use super::{
    html::{Column, Section},
    words,
};
use crate::{
    auth::{FileStats, Stats},
    budget::Usage,
    gateway::{FailedRpc, RpcTotals},
    telemetry::timestamp,
    tls::Stats as TlsStats,
    upstream::Snapshot,
};

const NAME_AND_VALUE: &[Column] = &[Column::Text("What"), Column::Number("Value")];

/// Returns the section of the RPCs that ended, by their code.
pub(super) fn codes(rpcs: &[RpcTotals]) -> Section {
    let rows = rpcs.iter().flat_map(|rpc| {
        let counted = rpc.codes.iter().filter(|(_, count)| *count > 0);
        counted
            .map(|(code, count)| vec![rpc.rpc.clone(), code.clone(), count.to_string()])
    });
    Section {
        id: "rpcs",
        title: "RPCs",
        caption: "RPCs that have ended since the start, by their code".to_owned(),
        columns: &[Column::Text("RPC"), Column::Text("Code"), Column::Number("Number")],
        rows: rows.collect(),
    }
    .or("No RPC has ended since the start.")
}

/// Returns the section of how long RPCs take.
pub(super) fn durations(rpcs: &[RpcTotals]) -> Section {
    let rows = rpcs.iter().filter_map(|rpc| {
        let number: u64 = rpc.within.iter().map(|(_, count)| count).sum();
        let mean = rpc.total.as_secs_f64() / u64_to_f64(number);
        let mean = Duration::try_from_secs_f64(mean).ok()?;
        let [half, most] = [0.5, 0.99].map(|part| quantile(&rpc.within, number, part));
        Some(vec![rpc.rpc.clone(), words::duration(mean), half, most])
    });
    Section {
        id: "durations",
        title: "Durations",
        caption: "Time of RPCs since the start, to the end of their response".to_owned(),
        columns: &[
            Column::Text("RPC"),
            Column::Number("Mean"),
            Column::Number("Half take"),
            Column::Number("99 % take"),
        ],
        rows: rows.collect(),
    }
    .or("No RPC has ended since the start.")
}

/// Returns the upper bound of the time that a part of the RPCs take.
fn quantile(within: &[(Duration, u64)], number: u64, part: f64) -> String {
    let wanted = u64_to_f64(number) * part;
    let mut counted = 0;
    let bucket = within.iter().position(|(_, count)| {
        counted += count;
        u64_to_f64(counted) >= wanted
    });
    match bucket.map(|index| within[index].0) {
        Some(bound) if bound < Duration::MAX => format!("≤ {}", words::duration(bound)),
        _ => "longer than measured".to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded")]
fn u64_to_f64(number: u64) -> f64 {
    number as f64
}

/// Returns the section of the connections to Polytomic.
pub(super) fn upstream(snapshot: &Snapshot) -> Section {
    let row = |name: &str, value: usize| vec![name.to_owned(), value.to_string()];
    let state =
        if snapshot.is_open_for_all { "open: only probes are sent" } else { "closed" };
    Section {
        id: "upstream",
        title: "Polytomic",
        caption: "Connections to Polytomic, and circuits".to_owned(),
        columns: NAME_AND_VALUE,
        rows: vec![
            row("HTTP/2 connections", snapshot.connections),
            row("Streams in use on them", snapshot.streams),
            row("HTTP/1.1 connections without a request", snapshot.idle),
            row("Connections being opened", snapshot.connecting),
            row("Requests that wait for a connection", snapshot.waiting),
            vec!["Circuit of all requests".to_owned(), state.to_owned()],
            row("Open circuits of one key or path", snapshot.open_circuits),
        ],
    }
}

/// Returns the section of the files with certificates.
pub(super) fn certificates(sides: &[Option<TlsStats>]) -> Section {
    let rows = sides.iter().flatten().flat_map(|stats| {
        let usable = stats.problem.as_ref();
        let usable = usable.map_or("yes".to_owned(), |problem| format!("no: {problem}"));
        let age = words::length(stats.loaded_at.elapsed());
        stats.first_to_expire().into_iter().map(move |first| {
            vec![
                first.flag.to_owned(),
                first.name.clone(),
                timestamp(first.not_after),
                format!("{age} ago"),
                usable.clone(),
                stats.rotations.to_string(),
                stats.failures.to_string(),
            ]
        })
    });
    Section {
        id: "certificates",
        title: "Certificates",
        caption: "Files with certificates, and which of each expires first".to_owned(),
        columns: &[
            Column::Text("Flag"),
            Column::Text("Certificate"),
            Column::Text("Valid until"),
            Column::Text("Loaded"),
            Column::Text("File usable now"),
            Column::Number("Changes"),
            Column::Number("Failed reads"),
        ],
        rows: rows.collect(),
    }
    .or("The gateway reads no certificate file.")
}

/// Returns the section of the files with the gateway's own credentials.
pub(super) fn files(stats: &Stats) -> Section {
    let files = [("Partner key", &stats.key_file), ("Caller token", &stats.token_file)];
    let rows = files.into_iter().filter_map(|(name, file)| {
        let FileStats { age, rotations, failures } = (*file)?;
        let usable = age.map_or("never".to_owned(), |age| words::length(age) + " ago");
        Some(vec![name.to_owned(), usable, rotations.to_string(), failures.to_string()])
    });
    Section {
        id: "files",
        title: "Credential files",
        caption: "Files with the gateway's own credentials".to_owned(),
        columns: &[
            Column::Text("File"),
            Column::Text("Last usable"),
            Column::Number("Changes"),
            Column::Number("Failed reads"),
        ],
        rows: rows.collect(),
    }
    .or("The gateway reads no credential file.")
}

/// Returns the section of what is remembered about keys.
pub(super) fn keys(stats: &Stats) -> Section {
    let row = |name: &str, value: u64| vec![name.to_owned(), value.to_string()];
    Section {
        id: "keys",
        title: "Keys of clients",
        caption: "What the gateway remembers about keys, since the start".to_owned(),
        columns: NAME_AND_VALUE,
        rows: vec![
            row("Keys remembered, approximately", stats.entries),
            row("RPCs whose key was known", stats.hits),
            row("RPCs whose key was known as rejected", stats.negative),
            row("RPCs whose key was not known", stats.misses),
            row("RPCs that waited for the look-up of another", stats.shared),
            row("Look-ups sent to Polytomic", stats.look_ups),
            row("Look-ups that failed", stats.look_ups_failed),
            row("RPCs that got no look-up", stats.look_ups_skipped),
            row("Keys forgotten: rejected by Polytomic", stats.invalidated_rejected),
            row("Keys forgotten: not used", stats.invalidated_expired),
            row("Keys forgotten: no room", stats.invalidated_evicted),
        ],
    }
}

/// Returns the section of what clients hold.
pub(super) fn budgets(connections: usize, most: usize, budgets: &[Usage]) -> Section {
    let connections = Usage {
        name: "connections",
        what: "Connections",
        is_bytes: false,
        used: connections,
        limit: most,
    };
    let all = [&[connections], budgets].concat();
    let rows = all.iter().map(|usage| {
        let shown = |number| {
            if usage.is_bytes { words::bytes(number) } else { usize::to_string(&number) }
        };
        let percent = usage.used.saturating_mul(100) / usage.limit.max(1);
        let name = usage.what.to_owned();
        vec![name, shown(usage.used), shown(usage.limit), format!("{percent} %")]
    });
    Section {
        id: "budgets",
        title: "Budgets",
        caption: "What clients hold now, of what they share".to_owned(),
        columns: &[
            Column::Text("Budget"),
            Column::Number("Used"),
            Column::Number("Limit"),
            Column::Number("Part"),
        ],
        rows: rows.collect(),
    }
}

/// Returns the section of the last failures.
pub(super) fn failures(failures: &[FailedRpc]) -> Section {
    let rows = failures.iter().map(|failed| {
        let path = failed.rpc.as_deref().unwrap_or("unknown");
        vec![
            timestamp(failed.at),
            path.rsplit('/').next().unwrap_or(path).to_owned(),
            failed.code.clone(),
            failed.reason.to_owned(),
            failed.request_id.clone(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    Section {
        id: "failures",
        title: "Failures",
        caption: format!(
            "{} RPCs that failed lately, the newest first; up to 5 of one RPC and reason",
            rows.len()
        ),
        columns: &[
            Column::Text("Time"),
            Column::Text("RPC"),
            Column::Text("Code"),
            Column::Text("Reason"),
            Column::Text("Request ID"),
        ],
        rows,
    }
    .or("No RPC has failed since the start.")
}

impl Section {
    /// Replaces the caption if there are no rows.
    fn or(self, sentence: &str) -> Self {
        if self.rows.is_empty() {
            return Self { caption: sentence.to_owned(), ..self };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn durations_are_means_and_bounds() {
        let ms = Duration::from_millis;
        let mut rpc = RpcTotals {
            rpc: "List".to_owned(),
            codes: [("Ok", 98), ("Unavailable", 2), ("Internal", 0)]
                .map(|(code, count)| (code.to_owned(), count))
                .into(),
            total: Duration::from_secs(1),
            within: vec![(ms(5), 60), (ms(10), 38), (ms(25), 2), (Duration::MAX, 0)],
        };
        assert_eq!(
            durations(&[rpc.clone()]).rows,
            [["List", "10 ms", "≤ 5.00 ms", "≤ 25 ms"]]
        );
        assert_eq!(
            codes(&[rpc.clone()]).rows,
            [["List", "Ok", "98"], ["List", "Unavailable", "2"]]
        );
        rpc.within[3].1 = 2;
        assert_eq!(durations(&[rpc]).rows[0][3], "longer than measured");
        let none = [RpcTotals {
            rpc: "List".to_owned(),
            codes: vec![("Ok".to_owned(), 0)],
            total: Duration::ZERO,
            within: vec![(Duration::MAX, 0)],
        }];
        assert!(durations(&none).rows.is_empty());
        assert_eq!(codes(&none).caption, "No RPC has ended since the start.");
    }

    #[test]
    fn failure_has_the_name_of_its_rpc() {
        let failed = |rpc: Option<&str>| FailedRpc {
            at: SystemTime::UNIX_EPOCH,
            rpc: rpc.map(str::to_owned),
            code: "Internal".to_owned(),
            reason: "INTERNAL",
            request_id: "an-id".to_owned(),
        };
        let section = failures(&[failed(Some("/a.v1.Service/List")), failed(None)]);
        let at = "1970-01-01T00:00:00Z";
        assert_eq!(
            section.rows,
            [
                [at, "List", "Internal", "INTERNAL", "an-id"],
                [at, "unknown", "Internal", "INTERNAL", "an-id"]
            ]
        );
    }

    #[test]
    fn file_that_was_never_usable_is_shown() {
        let file = FileStats { age: None, rotations: 0, failures: 3 };
        let stats = Stats { key_file: Some(file), ..Stats::default() };
        assert_eq!(files(&stats).rows, [["Partner key", "never", "0", "3"]]);
        assert!(files(&Stats::default()).rows.is_empty());
    }
}
