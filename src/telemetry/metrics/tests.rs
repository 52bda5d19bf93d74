#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, thread, time::Duration};

use super::*;
use std::time::SystemTime;

const LINES: Family =
    Family::counter("a_lines_total", &["reason"], "Lines by \"reason\"");
const TIME: Family = Family::histogram("a_time_seconds", &[], "Time");

/// Returns the lines about a family.
fn lines_of(page: &str, name: &str) -> Vec<String> {
    page.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
}

fn with_counters() -> (Metrics, Arc<Counters>) {
    let metrics = Metrics::new();
    let counters = Arc::new(Counters::new(["full", "sl\"ow\\\n"]));
    let read = Arc::clone(&counters);
    metrics.register(LINES, move |samples| read.write(samples));
    (metrics, counters)
}

#[test]
fn each_value_of_a_label_is_there_from_the_start() {
    let (metrics, counters) = with_counters();
    counters.add("full");
    let expected = [
        "# HELP a_lines_total Lines by \"reason\".",
        "# TYPE a_lines_total counter",
        "a_lines_total{reason=\"full\"} 1",
        "a_lines_total{reason=\"sl\\\"ow\\\\\\n\"} 0",
    ];
    assert_eq!(lines_of(&metrics.render(false), "a_lines"), expected);
    let page = metrics.render(true);
    assert_eq!(lines_of(&page, "a_lines")[1], "# TYPE a_lines counter");
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn histogram_counts_what_threads_observe_together() {
    let histogram = Arc::new(Histogram::default());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let histogram = Arc::clone(&histogram);
            thread::spawn(move || {
                for milliseconds in [0, 5, 6, 10_000, 10_001] {
                    histogram.observe(Duration::from_millis(milliseconds));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let metrics = Metrics::new();
    metrics.register(TIME, move |samples| samples.histogram(&[], &histogram));
    for openmetrics in [false, true] {
        let page = metrics.render(openmetrics);
        let has = |line: &str| page.lines().any(|other| other == line);
        assert!(has("a_time_seconds_bucket{le=\"0.005\"} 8"), "{page}");
        assert!(has("a_time_seconds_bucket{le=\"0.01\"} 12"), "{page}");
        assert!(has("a_time_seconds_bucket{le=\"+Inf\"} 20"), "{page}");
        assert!(has("a_time_seconds_count 20"), "{page}");
        assert!(has("a_time_seconds_sum 80.048"), "{page}");
    }
}

#[test]
fn only_openmetrics_has_exemplars() {
    let metrics = Metrics::new();
    metrics.register(LINES, |samples| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        samples.count_with(&["full"], 3, Exemplar { trace_id: "0af7", at });
    });
    let line = "a_lines_total{reason=\"full\"} 3";
    assert_eq!(lines_of(&metrics.render(false), "a_lines_total{"), [line]);
    let with_trace = format!("{line} # {{trace_id=\"0af7\"}} 1.0 7.0");
    assert_eq!(lines_of(&metrics.render(true), "a_lines_total{"), [with_trace]);
}

#[test]
fn process_reports_itself() {
    let page = Metrics::new().render(false);
    let value = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    assert!(value("process_start_time_seconds").unwrap() > 1.7e9);
    assert!(value("process_max_fds").unwrap() > 0.0);
    if cfg!(target_os = "linux") {
        assert!(value("process_cpu_seconds_total").is_some());
        assert!(value("process_open_fds").unwrap() >= 3.0);
        let resident = value("process_resident_memory_bytes").unwrap();
        assert!(resident > 1e6, "{resident}");
        assert!(value("process_virtual_memory_bytes").unwrap() >= resident);
    }
}
