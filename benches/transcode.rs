//! How fast an answer becomes wire bytes: the gateway's way, and beside it the
//! usual way, serde into structs and prost out of them. `just bench`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "transcode/answers.rs"]
mod answers;
#[path = "transcode/usual.rs"]
mod usual;

use divan::{Bencher, black_box, counter::BytesCount};
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET},
    proto::ListPartnerSharedConnectionsResponse,
    transcode,
};
use prost::Message;

const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/ListPartnerSharedConnections";
const LENGTHS: [usize; 3] = [1, 100, 5_000];

fn main() {
    both_ways_make_the_same_message();
    divan::main();
}

#[divan::bench(args = LENGTHS)]
fn direct(bencher: Bencher<'_, '_>, length: usize) {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let schema = &contract.rpc(LIST).unwrap().response;
    let json = answers::list(length);
    bencher
        .counter(BytesCount::of_str(&json))
        .bench_local(|| transcode::response(schema, black_box(json.as_bytes())).unwrap());
}

#[divan::bench(args = LENGTHS)]
fn usual_way(bencher: Bencher<'_, '_>, length: usize) {
    let json = answers::list(length);
    bencher
        .counter(BytesCount::of_str(&json))
        .bench_local(|| usual::response(black_box(json.as_bytes())));
}

fn both_ways_make_the_same_message() {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let schema = &contract.rpc(LIST).unwrap().response;
    for length in LENGTHS {
        let json = answers::list(length);
        let direct = transcode::response(schema, json.as_bytes()).unwrap();
        let usual = usual::response(json.as_bytes());
        let decode =
            |bytes: &[u8]| ListPartnerSharedConnectionsResponse::decode(bytes).unwrap();
        assert_eq!(decode(&direct), decode(&usual));
        assert_eq!(decode(&direct).connections.len(), length);
    }
}
