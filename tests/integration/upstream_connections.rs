//! The connections to the upstream: how many there are, who uses them, how old they
//! become, and what one client's requests mean for those of others.

use std::{net::SocketAddr, time::Duration};

use kit::{
    Caller, Concurrent, Gateway, HANG_GUARD, HOST, Protocol, caller::Reply, log::Log,
    over_both, process, relay::Valve, until,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::Code;

const GREEDY: &str = "Bearer greedy-held";
const OTHER: &str = "Bearer other";

const MOMENT: Duration = Duration::from_millis(1);

fn list(address: SocketAddr, key: &str) -> Caller {
    Caller::list(address).without("authorization").with("authorization", key)
}

async fn start(upstream: &Concurrent, flags: &[&str]) -> Gateway {
    let (url, flags) = (upstream.flags(), [&["--max-in-flight", "2000"], flags].concat());
    Gateway::at(url[1], &[&url[2..], &flags].concat()).await
}

fn send_many(count: usize, caller: impl Fn() -> Caller) -> JoinSet<Reply> {
    (0..count).map(|_| caller().send()).collect()
}

fn assert_ok(replies: Vec<Reply>) {
    for reply in replies {
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
    }
}

#[tokio::test]
async fn streams_are_used_up_to_the_limit_of_the_upstream() {
    const STREAMS: u32 = 10;
    const RPCS: usize = 40;

    let upstream = Concurrent::start(Protocol::Http2, STREAMS).await;
    let gateway = start(&upstream, &[]).await;
    let rpcs = send_many(RPCS, || list(gateway.address, GREEDY));
    until(|| upstream.active(GREEDY) == RPCS).await;
    assert!(upstream.peak() <= STREAMS as usize, "{}", upstream.peak());
    assert!(upstream.connections() <= 16, "{}", upstream.connections());
    upstream.release();
    assert_ok(rpcs.join_all().await);
    assert_eq!(upstream.seen(), RPCS, "none was refused");
}

/// With 100 streams and 150 slow lists of one key, another had 1 of 149 RPCs through.
#[tokio::test]
async fn slow_rpcs_of_one_key_leave_another_its_next_stream() {
    for (connections, streams) in [("1", 100), ("2", 10), ("1", 4)] {
        let upstream = Concurrent::start(Protocol::Http2, streams).await;
        let flags = ["--upstream-connections", connections, "--attempts", "1"];
        let gateway = start(&upstream, &flags).await;
        let slow = send_many(150, || list(gateway.address, GREEDY));
        until(|| upstream.active(GREEDY) > 0).await;
        for _ in 0..40 {
            let rpc = list(gateway.address, OTHER).with("grpc-timeout", "20S");
            assert_ok(vec![rpc.send().await]);
        }
        assert!(upstream.active(GREEDY) > 0);
        upstream.release();
        assert_ok(slow.join_all().await);
    }
}

#[tokio::test]
async fn rpc_without_a_stream_in_time_is_not_sent() {
    let log = Log::keep();
    let upstream = Concurrent::start(Protocol::Http2, 1).await;
    let gateway = start(&upstream, &["--upstream-connections", "1"]).await;
    let slow = tokio::spawn(list(gateway.address, GREEDY).send());
    until(|| upstream.active(GREEDY) == 1).await;
    for rpc in [Caller::list, Caller::create] {
        let reply = rpc(gateway.address).with("grpc-timeout", "1S").send().await;
        assert_eq!(reply.code(), Code::Unavailable, "{}", reply.message());
        assert_eq!(reply.reason(), "UPSTREAM_BUSY");
        assert_eq!(reply.error_metadata("attempts").as_deref(), Some("1"));
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
        assert!(reply.message().contains("Nothing was sent"), "{}", reply.message());
    }
    assert_eq!(log.events("no free stream to Polytomic").len(), 1, "the log is limited");
    assert_eq!(upstream.seen(), 1);
    upstream.release();
    assert_ok(vec![slow.await.unwrap()]);
}

#[tokio::test]
async fn create_without_a_stream_is_not_repeated() {
    let upstream = Concurrent::start(Protocol::Http2, 1).await;
    let flags = ["--upstream-connections", "1", "--attempt-timeout", "0.3"];
    let gateway = start(&upstream, &flags).await;
    let create = |key| {
        let caller = Caller::create(gateway.address).without("authorization");
        caller.with("authorization", key)
    };
    let slow = tokio::spawn(create(GREEDY).send());
    until(|| upstream.active(GREEDY) == 1).await;
    let reply = create(OTHER).send().await;
    assert_eq!(reply.reason(), "UPSTREAM_BUSY", "{}", reply.message());
    assert_eq!(reply.error_metadata("attempts").as_deref(), Some("1"));
    assert_eq!(reply.error_metadata("outcome").as_deref(), Some("NOT_SENT"));
    assert_eq!(upstream.seen(), 1);
    upstream.release();
    assert_ok(vec![slow.await.unwrap()]);
}

/// A server on `hyper` ends a connection on which 20 streams are reset before it has seen
/// them. They arrive together if the network was slow for a moment.
#[tokio::test]
async fn burst_of_cancels_does_not_end_the_rpcs_of_others() {
    const CANCELS: usize = 60;

    let upstream = Concurrent::start(Protocol::Http2, 200).await;
    let valve = Valve::start(upstream.address()).await;
    let url = format!("https://{HOST}:{}", valve.address().port());
    let flags = ["--upstream-ca-file", upstream.authority(), "--attempts", "1"];
    let gateway = Gateway::at(&url, &flags).await;
    let patient = tokio::spawn(list(gateway.address, "Bearer patient-held").send());
    until(|| upstream.active("Bearer patient-held") == 1).await;

    // The clock stands still, so that the test does not depend on its own speed. A moment
    // passes once there is nothing else to do.
    tokio::time::pause();
    valve.close();
    let log = Log::keep();
    let mut rpcs = send_many(CANCELS, || list(gateway.address, GREEDY));
    sleep(MOMENT).await;
    rpcs.abort_all();
    until(|| log.rpcs().len() == CANCELS).await;
    sleep(MOMENT).await;
    valve.open();
    tokio::time::resume();

    for _ in 0..20 {
        assert_ok(vec![list(gateway.address, OTHER).send().await]);
    }
    until(|| upstream.active(GREEDY) == 0).await;
    assert_eq!(upstream.connections(), 1);
    upstream.release();
    assert_ok(vec![timeout(HANG_GUARD, patient).await.unwrap().unwrap()]);
}

#[tokio::test]
async fn connection_is_replaced_after_its_age_without_a_failed_rpc() {
    over_both(async |protocol| {
        let upstream = Concurrent::start(protocol, 100).await;
        let flags = ["--upstream-connection-age", "0.3", "--attempts", "1"];
        let gateway = start(&upstream, &flags).await;
        let slow = tokio::spawn(list(gateway.address, GREEDY).send());
        until(|| upstream.active(GREEDY) == 1).await;
        let replaced = async {
            while upstream.connections() < 4 {
                assert_ok(vec![list(gateway.address, OTHER).send().await]);
            }
        };
        timeout(HANG_GUARD, replaced).await.expect("no connection is replaced");
        upstream.release();
        assert_ok(vec![slow.await.unwrap()]);
        // Those that were replaced close.
        until(|| upstream.open_connections() <= 2).await;
    })
    .await;
}

#[tokio::test]
async fn old_connection_serves_until_there_is_another() {
    let mut upstream = Concurrent::start(Protocol::Http2, 100).await;
    let flags = ["--upstream-connection-age", "5", "--attempts", "1"];
    let gateway = start(&upstream, &flags).await;
    assert_ok(vec![list(gateway.address, OTHER).send().await]);
    upstream.stop_accepting().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_ok(vec![list(gateway.address, OTHER).send().await]);
    }
    tokio::time::resume();
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn connection_with_goaway_gets_no_more_requests() {
    let upstream = Concurrent::start(Protocol::Http2, 100).await;
    let gateway = start(&upstream, &["--attempts", "1"]).await;
    let mut slow = JoinSet::new();
    for connections in 1..5 {
        slow.spawn(list(gateway.address, GREEDY).send());
        until(|| upstream.active(GREEDY) == connections).await;
        upstream.retire();
        let moves = async {
            while upstream.connections() == connections {
                assert_ok(vec![list(gateway.address, OTHER).send().await]);
            }
        };
        timeout(HANG_GUARD, moves).await.expect("GOAWAY is ignored");
    }
    upstream.release();
    assert_ok(slow.join_all().await);
    until(|| upstream.open_connections() == 1).await;
}

#[tokio::test]
async fn connection_is_used_again() {
    over_both(async |protocol| {
        let upstream = Concurrent::start(protocol, 100).await;
        let gateway = start(&upstream, &[]).await;
        for _ in 0..10 {
            assert_ok(vec![list(gateway.address, OTHER).send().await]);
        }
        assert_eq!(upstream.connections(), 1);
    })
    .await;
}

#[tokio::test]
async fn unused_connection_is_closed_before_a_balancer_would_close_it() {
    over_both(async |protocol| {
        let upstream = Concurrent::start(protocol, 100).await;
        let gateway = start(&upstream, &[]).await;
        assert_ok(vec![list(gateway.address, OTHER).send().await]);
        tokio::time::pause();
        sleep(Duration::from_secs(45)).await;
        assert_eq!(upstream.open_connections(), 1);
        sleep(Duration::from_secs(11)).await;
        until(|| upstream.open_connections() == 0).await;
        tokio::time::resume();
        assert_ok(vec![list(gateway.address, OTHER).send().await]);
    })
    .await;
}

#[tokio::test]
async fn system_without_certificate_authorities_is_named_at_start() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let file = empty.path().to_str().unwrap();
    let variables = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", "/nonexistent")];
    let flags = ["serve", "--listen", "127.0.0.1:0"];
    let output = process::run(&flags, &variables).await;
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("ca-certificates"), "{errors}");
    assert!(errors.contains("--upstream-ca-file"), "{errors}");
}
