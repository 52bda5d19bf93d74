//! The metrics: each is moved by its cause, by as much as it should be, and nothing else
//! moves.

mod causes;
mod certificates;
mod page;
mod requests;

use std::{collections::BTreeMap, time::Duration};

use kit::{
    Caller, Fake, Gateway, Protocol,
    caller::{LIST, METADATA, STREAM, frame, list_request, stream_request},
    connection::Connection,
    fake::{Response, Script, Step},
    metrics::{await_changes, values},
    over_both, until,
};
use polytomic_gateway::telemetry::Metrics;
use prost::Message;
use tokio::task::JoinSet;

/// Returns how many RPCs of each name are in flight, of those of which any are.
fn in_flight(metrics: &Metrics) -> BTreeMap<String, i64> {
    let mut in_flight = BTreeMap::new();
    for (series, value) in values(metrics) {
        if let Some(name) = series.strip_prefix("grpc_server_started_total ") {
            *in_flight.entry(name.to_owned()).or_default() += value;
        } else if let Some(name) = series.strip_prefix("grpc_server_handled_total ") {
            let (name, _code) = name.rsplit_once(' ').unwrap();
            *in_flight.entry(name.to_owned()).or_default() -= value;
        }
    }
    in_flight.retain(|_, value| *value != 0);
    in_flight
}

/// Sends RPCs of every kind on a connection, which may end before they do.
async fn send_all(connection: Connection) {
    let list = frame(&list_request().encode_to_vec());
    let stream = frame(&stream_request().encode_to_vec());
    let mut calls = JoinSet::new();
    for (path, body) in [
        (LIST, list),
        (STREAM, stream),
        ("/grpc.health.v1.Health/Watch", frame(b"")),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", frame(b"")),
        ("/grpc.health.v1.Health/Check", frame(b"junk")),
        ("/unknown.Service/Rpc", Vec::new()),
        (LIST, vec![0; 70 * 1024]),
    ] {
        let connection = connection.clone();
        calls.spawn(async move { connection.call(path, METADATA, body).await.is_ok() });
    }
    calls.join_all().await;
}

#[tokio::test]
async fn rpcs_in_flight_return_to_zero_however_they_end() {
    over_both(async |protocol| {
        let script = vec![
            vec![Step::Stall],
            vec![Step::Reset],
            vec![Step::Respond(Response::json(503, "{}"))],
            vec![Step::Answer],
        ];
        for reactions in [script.clone(), script.into_iter().take(1).collect()] {
            let fake = Fake::playing(Script::new(protocol, reactions)).await;
            let gateway = Gateway::with(&fake, &["--drain-limit", "0.2"]).await;
            let metrics = gateway.metrics();
            let mut clients = JoinSet::new();
            let mut drivers = Vec::new();
            for _ in 0..8 {
                let (connection, driver) =
                    Connection::open(gateway.address).await.unwrap();
                clients.spawn(send_all(connection));
                drivers.push(driver);
            }
            until(|| {
                let watches = in_flight(&metrics);
                let watches =
                    watches.get("server_stream grpc.health.v1.Health Watch").copied();
                watches == Some(8)
            })
            .await;
            // Half of the clients go away, then the gateway does.
            for driver in drivers.split_off(4) {
                driver.abort();
            }
            until(|| in_flight(&metrics).values().sum::<i64>() <= 3 * 4).await;
            gateway.stop().await;
            assert_eq!(in_flight(&metrics), BTreeMap::new());
            let open = values(&metrics)["gateway_connections_open"];
            assert_eq!(open, 0);
            clients.join_all().await;
        }
    })
    .await;
}
