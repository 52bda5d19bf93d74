//! Connections with as many shared copies as their ID states, which exist only to be
//! listed.
//!
//! The copies are made while the list is sent, so that it takes no memory.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use uuid::Uuid;

use super::{model::Connection, seed};

/// Copies that are sent in one piece, of about 90 KiB.
const PIECE: u64 = 100;

/// The most copies of a connection.
const LONGEST: u64 = 999_999;

/// Returns the list of the copies of a connection, if its ID states a number of them.
pub(super) fn response(connection: Uuid) -> Option<Response> {
    let id = connection.to_string();
    let length: u64 = id.strip_prefix(seed::LONG_LIST)?.parse().ok()?;
    if length > LONGEST {
        return None;
    }
    let copy_of_another = seed::copies().into_iter().next()?;
    let template =
        Connection { parent_connection_id: Some(connection), ..copy_of_another };
    let pieces = (0..length.div_ceil(PIECE)).map(move |piece| {
        let mut json = Vec::new();
        let first = piece * PIECE;
        for number in first..length.min(first + PIECE) {
            write_copy(&template, number, &mut json);
        }
        Bytes::from(json)
    });
    let start = Bytes::from_static(br#"{"data":["#);
    let end = Bytes::from_static(b"]}");
    let pieces = [start].into_iter().chain(pieces).chain([end]);
    let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)));
    Some(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Writes a copy, with a comma before all but the first.
fn write_copy(template: &Connection, number: u64, json: &mut Vec<u8>) {
    let id = Uuid::from_u64_pair(COPY_ID.0, COPY_ID.1 | number);
    let copy = Connection { id, name: format!("Copy {number}"), ..template.clone() };
    if number > 0 {
        json.push(b',');
    }
    serde_json::to_writer(json, &copy).expect("a connection is JSON");
}

/// The ID of the first copy, `00000000-0000-4000-a000-000000000000`, in two halves.
const COPY_ID: (u64, u64) = (0x4000, 0xa000_0000_0000_0000);
