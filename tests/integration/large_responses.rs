//! Large responses: one that finds no memory waits for it, and one that never fits is
//! rejected immediately.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use polytomic_gateway::{proto::ListPartnerSharedConnectionsRequest, sandbox::seed};
use prost::Message;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::Code;

use kit::{
    Caller, Gateway, Origin, Protocol,
    caller::{self, ID, LIST, METADATA, list_request},
    connection::Connection,
    fake::{Fake, JSON, Response, Script, Step},
    origin, over_both,
};
use polytomic_gateway::proto::ListPartnerSharedConnectionsResponse;

const LONG: Duration = Duration::from_secs(300);

/// A sixteenth of the default limits, and time enough on a busy machine.
const LIMITS: [&str; 7] = [
    "--no-key-check",
    "--answer-limit",
    "2097152",
    "--answer-memory",
    "16777216",
    "--timeout",
    "600",
];

/// Returns a list of connections as JSON, of about this many bytes.
fn list(bytes: usize) -> Bytes {
    let one = format!(
        r#"{{"id":"{ID}","name":"a connection","status":"healthy","configuration":{{"host":"db.example.com","port":5432}}}}"#
    );
    let all = vec![one.as_str(); bytes / one.len()].join(",");
    format!(r#"{{"data":[{all}]}}"#).into()
}

#[tokio::test]
async fn lists_that_are_larger_than_the_memory_together_are_all_served() {
    over_both(async |protocol| {
        for states_length in [true, false] {
            let body = list(150_000);
            // All lists are answered at the same time.
            let all = Arc::new(Semaphore::new(0));
            let respond = move |_| {
                let (body, all) = (body.clone(), Arc::clone(&all));
                async move {
                    all.add_permits(1);
                    all.acquire_many(64).await.unwrap().forget();
                    all.add_permits(64);
                    origin::json(&body, states_length)
                }
            };
            let origin = Origin::start(protocol, respond).await;
            let gateway = Gateway::on_origin(&origin, &LIMITS).await;
            let mut calls = JoinSet::new();
            for _ in 0..4 {
                let (connection, _) = Connection::open(gateway.address).await.unwrap();
                for _ in 0..16 {
                    let connection = connection.clone();
                    calls.spawn(async move {
                        let body = caller::frame(&list_request().encode_to_vec());
                        connection.call(LIST, METADATA, body).await.unwrap()
                    });
                }
            }
            let replies = timeout(LONG, calls.join_all()).await.unwrap();
            for reply in replies {
                assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn list_over_the_limit_names_the_rpc_that_streams_it() {
    over_both(async |protocol| {
        let flags = [&LIMITS[..], &["--attempts", "1"]].concat();
        let gateway = Gateway::on_sandbox_over(protocol, &flags).await;
        let long = ListPartnerSharedConnectionsRequest {
            org_id: ID.to_owned(),
            connection_id: seed::connection_with_copies(3000),
        };
        let list = Caller::new(gateway.address, "ListPartnerSharedConnections", &long);
        let reply = list.send().await;
        assert_eq!(reply.reason(), "UPSTREAM_RESPONSE_TOO_LARGE");
        let advice = "StreamPartnerSharedConnections has no limit for the whole list.";
        assert!(reply.message().contains(advice), "{}", reply.message());
        let stream =
            Caller::new(gateway.address, "StreamPartnerSharedConnections", &long);
        let reply = stream.send().await;
        assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
        assert_eq!(reply.messages().len(), 3000);
    })
    .await;
}

#[tokio::test]
async fn response_that_never_fits_is_rejected_immediately() {
    // Two bytes of JSON are eleven of a Struct.
    let numbers = "0,".repeat(900_000);
    let body: Bytes =
        format!(r#"{{"data":[{{"id":"{ID}","configuration":{{"n":[{numbers}0]}}}}]}}"#)
            .into();
    over_both(async |protocol| {
        let body = body.clone();
        let respond = move |_| {
            let body = body.clone();
            async move { origin::json(&body, true) }
        };
        let origin = Origin::start(protocol, respond).await;
        let gateway = Gateway::on_origin(&origin, &LIMITS).await;
        let started = Instant::now();
        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.reason(), "UPSTREAM_RESPONSE_EXCEEDS_MEMORY");
        assert_eq!(reply.error_metadata("retryable").as_deref(), Some("false"));
        assert_eq!(reply.error_metadata("outcome").as_deref(), Some("COMPLETED"));
        assert!(started.elapsed() < Duration::from_secs(10), "it waited");
    })
    .await;
}

/// What was translated before is dropped, also if it was wrong: the list is read again
/// from its start.
#[tokio::test]
async fn list_that_breaks_off_is_read_again() {
    let whole = list(300_000);
    let wrong = [br#"{"data":[{"id":1},"#, &whole[br#"{"data":["#.len()..]].concat();
    over_both(async |protocol| {
        for begun in [&whole[..200_000], &wrong[..200_000]] {
            let length = whole.len().to_string();
            let headers = [JSON[0], ("content-length", &length)];
            let mut breaks_off = vec![Step::Head(Response::new(200, &headers, b""))];
            breaks_off.extend(begun.chunks(10_000).map(|part| Step::Data(part.to_vec())));
            breaks_off.push(Step::Close);
            let responds = vec![Step::Respond(Response::new(200, JSON, &whole))];
            let script = Script::new(protocol, vec![breaks_off, responds]);
            let fake = Fake::playing(script).await;
            let gateway = Gateway::on(&fake).await;
            let reply = Caller::list(gateway.address).send().await;
            assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
            let read =
                ListPartnerSharedConnectionsResponse::decode(reply.body.slice(5..));
            let expected = whole.windows(4).filter(|text| text == br#""id""#).count();
            assert_eq!(read.unwrap().connections.len(), expected);
            assert_eq!(fake.seen().len(), 2);
        }
    })
    .await;
}

#[tokio::test]
async fn headers_are_limited() {
    for (bytes, code) in [(48 << 10, Code::Ok), (200 << 10, Code::Internal)] {
        let values = "v".repeat(8 << 10);
        let mut headers = vec![JSON[0]];
        headers.resize(1 + bytes / values.len(), ("x-large", &values));
        let response = Response::new(200, &headers, br#"{"data":[]}"#);
        let script = Script::new(Protocol::Http1, vec![vec![Step::Respond(response)]]);
        let fake = Fake::playing(script).await;
        let gateway = Gateway::with(&fake, &["--attempts", "1"]).await;
        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.code(), code, "{bytes}: {}", reply.message());
    }
}

/// However much was right before.
#[tokio::test]
async fn large_list_with_a_wrong_end_is_an_error() {
    let whole = list(300_000);
    let cut = &whole[..whole.len() - 1];
    over_both(async |protocol| {
        for (body, problem) in [
            (cut.to_vec(), "the JSON ends early"),
            ([&whole, &b"{}"[..]].concat(), "more text after its end"),
            ([cut, br#","data":null}"#].concat(), "data: occurs twice"),
            ([cut, b",\"x\":\"\xff\"}"].concat(), "not UTF-8"),
        ] {
            for states_length in [true, false] {
                let body = Bytes::from(body.clone());
                let respond = move |_| {
                    let body = body.clone();
                    async move { origin::json(&body, states_length) }
                };
                let origin = Origin::start(protocol, respond).await;
                let gateway = Gateway::on_origin(&origin, &LIMITS).await;
                let reply = Caller::list(gateway.address).send().await;
                assert_eq!(reply.reason(), "UPSTREAM_BAD_RESPONSE");
                assert!(reply.message().contains(problem), "{}", reply.message());
                assert!(reply.body.is_empty());
            }
        }
    })
    .await;
}
