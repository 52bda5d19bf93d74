//! What an RPC changes, by what its client sends and Polytomic does.

use super::*;

/// What happens, and the series that it changes, by how much.
struct Cause {
    what: &'static str,
    flags: &'static [&'static str],
    upstream: Vec<Vec<Step>>,
    caller: Caller,
    changes: Vec<(&'static str, i64)>,
}

/// What every RPC changes whose message arrives.
pub(super) const LIST_ENDED: [(&str, i64); 4] = [
    ("gateway_connections_accepted_total", 1),
    ("grpc_server_started_total unary Lists", 1),
    ("grpc_server_msg_received_total unary Lists", 1),
    ("grpc_server_handling_seconds_count unary Lists", 1),
];
const CREATE_ENDED: [(&str, i64); 6] = [
    ("gateway_connections_accepted_total", 1),
    ("grpc_server_started_total unary Create", 1),
    ("grpc_server_msg_received_total unary Create", 1),
    ("grpc_server_handling_seconds_count unary Create", 1),
    ("grpc_server_handled_total unary Create OK", 1),
    ("grpc_server_msg_sent_total unary Create", 1),
];
const OTHER_ENDED: [(&str, i64); 3] = [
    ("gateway_connections_accepted_total", 1),
    ("grpc_server_started_total unary other other", 1),
    ("grpc_server_handling_seconds_count unary other other", 1),
];
const STREAM_ENDED: [(&str, i64); 4] = [
    ("gateway_connections_accepted_total", 1),
    ("grpc_server_started_total server_stream Streams", 1),
    ("grpc_server_msg_received_total server_stream Streams", 1),
    ("grpc_server_handling_seconds_count server_stream Streams", 1),
];

pub(super) fn respond(status: u16, body: &str) -> Vec<Step> {
    vec![Step::Respond(Response::json(status, body))]
}

/// A response with less of its body than it states.
fn incomplete(end: Step) -> Vec<Step> {
    let headers = [("content-type", "application/json"), ("content-length", "100")];
    vec![Step::Head(Response::new(200, &headers, b"")), end]
}

/// Causes that begin with a request of a client.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn causes() -> Vec<Cause> {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let (list, create) = (|| Caller::list(nowhere), || Caller::create(nowhere));
    let cause = |what, upstream, caller, base: &[_], changes: &[_]| Cause {
        what,
        flags: &[],
        upstream,
        caller,
        changes: [base, changes].concat(),
    };
    let once = |what, upstream, flags, changes: &[_]| Cause {
        flags,
        ..cause(what, upstream, list(), &LIST_ENDED, changes)
    };
    let unanswered = || vec![vec![Step::Close]];
    vec![
        cause(
            "a list",
            vec![vec![Step::Answer]],
            list(),
            &LIST_ENDED,
            &[
                ("grpc_server_handled_total unary Lists OK", 1),
                ("grpc_server_msg_sent_total unary Lists", 1),
                ("http_client_request_duration_seconds_count GET shared 200", 1),
            ],
        ),
        cause(
            "an error of Polytomic",
            vec![respond(500, "{}")],
            list(),
            &LIST_ENDED,
            &[
                ("grpc_server_handled_total unary Lists Internal", 1),
                ("gateway_failures_total UPSTREAM_ERROR", 1),
                ("http_client_request_duration_seconds_count GET shared 500 500", 1),
            ],
        ),
        cause(
            "a retry",
            vec![respond(503, "{}"), vec![Step::Answer]],
            list(),
            &LIST_ENDED,
            &[
                ("grpc_server_handled_total unary Lists OK", 1),
                ("grpc_server_msg_sent_total unary Lists", 1),
                ("gateway_retries_total UPSTREAM_UNAVAILABLE", 1),
                ("http_client_request_resends_total GET shared", 1),
                ("http_client_request_duration_seconds_count GET shared 503 503", 1),
                ("http_client_request_duration_seconds_count GET shared 200", 1),
            ],
        ),
        cause(
            "a connection that is reset",
            vec![vec![Step::Reset], vec![Step::Answer]],
            list(),
            &LIST_ENDED,
            &[
                ("grpc_server_handled_total unary Lists OK", 1),
                ("grpc_server_msg_sent_total unary Lists", 1),
                ("gateway_retries_total UPSTREAM_RESET", 1),
                ("http_client_request_resends_total GET shared", 1),
                ("http_client_request_duration_seconds_count GET shared reset", 1),
                ("http_client_request_duration_seconds_count GET shared 200", 1),
            ],
        ),
        once(
            "a response that breaks off",
            vec![incomplete(Step::Close)],
            &["--attempts", "1"],
            &[
                ("grpc_server_handled_total unary Lists Unavailable", 1),
                ("gateway_failures_total UPSTREAM_RESET", 1),
                ("http_client_request_duration_seconds_count GET shared reset", 1),
            ],
        ),
        once(
            "a response that stops",
            vec![incomplete(Step::Stall)],
            &["--attempts", "1", "--read-timeout", "0.2"],
            &[
                ("grpc_server_handled_total unary Lists DeadlineExceeded", 1),
                ("gateway_failures_total UPSTREAM_TIMEOUT", 1),
                ("http_client_request_duration_seconds_count GET shared timeout", 1),
            ],
        ),
        once(
            "a response that is too large",
            vec![respond(
                200,
                &format!(r#"{{"data":[],"more":"{}"}}"#, "x".repeat(2000)),
            )],
            &["--answer-limit", "1024"],
            &[
                ("grpc_server_handled_total unary Lists ResourceExhausted", 1),
                ("gateway_failures_total UPSTREAM_RESPONSE_TOO_LARGE", 1),
                ("http_client_request_duration_seconds_count GET shared too_large", 1),
            ],
        ),
        cause(
            "a response that is no message",
            vec![respond(200, "[]")],
            list(),
            &LIST_ENDED,
            &[
                ("grpc_server_handled_total unary Lists Internal", 1),
                ("gateway_failures_total UPSTREAM_BAD_RESPONSE", 1),
                ("http_client_request_duration_seconds_count GET shared 200", 1),
            ],
        ),
        cause(
            "a create with a key",
            vec![vec![Step::Answer]],
            create().with("idempotency-key", "a-key-of-the-client"),
            &CREATE_ENDED,
            &[
                ("gateway_idempotency_keys_total given", 1),
                ("http_client_request_duration_seconds_count POST shared 200", 1),
            ],
        ),
        cause(
            "a create with a request ID",
            vec![vec![Step::Answer]],
            create().with("x-request-id", "5d0b6f1e"),
            &CREATE_ENDED,
            &[
                ("gateway_idempotency_keys_total derived", 1),
                ("http_client_request_duration_seconds_count POST shared 200", 1),
            ],
        ),
        cause(
            "a create with neither",
            vec![vec![Step::Answer]],
            create(),
            &CREATE_ENDED,
            &[
                ("gateway_idempotency_keys_total fresh", 1),
                ("http_client_request_duration_seconds_count POST shared 200", 1),
            ],
        ),
        cause(
            "no credentials",
            unanswered(),
            list().without("authorization"),
            &LIST_ENDED,
            &[
                ("grpc_server_handled_total unary Lists Unauthenticated", 1),
                ("gateway_failures_total CREDENTIALS_MISSING", 1),
            ],
        ),
        cause(
            "junk in a message",
            unanswered(),
            list().body(frame(b"\xff")),
            &LIST_ENDED,
            &[
                ("grpc_server_handled_total unary Lists InvalidArgument", 1),
                ("gateway_failures_total INVALID_MESSAGE", 1),
            ],
        ),
        cause(
            "a message that is too large",
            unanswered(),
            list().body(vec![0; 70_000]),
            &[LIST_ENDED[0], LIST_ENDED[1], LIST_ENDED[3]],
            &[
                ("grpc_server_handled_total unary Lists ResourceExhausted", 1),
                ("gateway_failures_total REQUEST_TOO_LARGE", 1),
            ],
        ),
        cause(
            "an unknown RPC",
            unanswered(),
            list().path("/a.b/C"),
            &OTHER_ENDED,
            &[
                ("grpc_server_handled_total unary other other Unimplemented", 1),
                ("gateway_failures_total UNKNOWN_RPC", 1),
            ],
        ),
        cause(
            "a stream",
            vec![respond(200, r#"{"data":[{"id":"1"},{"id":"2"},{"id":"3"}]}"#)],
            Caller::stream(nowhere),
            &STREAM_ENDED,
            &[
                ("grpc_server_handled_total server_stream Streams OK", 1),
                ("grpc_server_msg_sent_total server_stream Streams", 3),
                ("http_client_request_duration_seconds_count GET shared 200", 1),
            ],
        ),
        cause(
            "a stream that breaks off",
            vec![vec![
                incomplete(Step::Close)[0].clone(),
                Step::Data(br#"{"data":[{"id":"1"},"#.to_vec()),
                Step::Pause(Duration::from_millis(50)),
                Step::Close,
            ]],
            Caller::stream(nowhere),
            &STREAM_ENDED,
            &[
                ("grpc_server_handled_total server_stream Streams Unavailable", 1),
                ("grpc_server_msg_sent_total server_stream Streams", 1),
                ("gateway_failures_total UPSTREAM_RESET", 1),
                ("http_client_request_duration_seconds_count GET shared reset", 1),
            ],
        ),
    ]
}

#[tokio::test]
async fn request_of_a_client_changes_what_it_causes_and_nothing_else() {
    over_both(async |protocol| {
        for Cause { what, flags, upstream, caller, changes } in causes() {
            let fake = Fake::playing(Script::new(protocol, upstream)).await;
            let gateway = Gateway::with(&fake, flags).await;
            let before = values(&gateway.metrics());
            let reply = caller.to(gateway.address).send().await;
            await_changes(what, &gateway.metrics(), &before, &changes).await;
            drop(reply);
        }
    })
    .await;
}
