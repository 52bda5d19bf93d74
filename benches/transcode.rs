//! The speed of transcoding a JSON response to wire bytes, compared with the usual
//! way: serde into structs and prost out of them. `just microbench transcode`.
//!
//! A busy machine may run the two at different speeds. So they alternate at the end,
//! and the benchmark prints the median of the ratios.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

mod responses;
mod usual;

use std::time::{Duration, Instant};

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
    // An unoptimised run only checks that it runs.
    if !cfg!(debug_assertions) {
        print_ratios();
    }
}

#[divan::bench(args = LENGTHS)]
fn direct(bencher: Bencher<'_, '_>, length: usize) {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let schema = &contract.rpc(LIST).unwrap().response;
    let json = responses::list(length);
    bencher.counter(BytesCount::of_str(&json)).bench_local(|| {
        transcode::response(schema, black_box(json.as_bytes()), json.len()).unwrap()
    });
}

#[divan::bench(args = LENGTHS)]
fn usual_way(bencher: Bencher<'_, '_>, length: usize) {
    let json = responses::list(length);
    bencher
        .counter(BytesCount::of_str(&json))
        .bench_local(|| usual::response(black_box(json.as_bytes())));
}

fn both_ways_make_the_same_message() {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let schema = &contract.rpc(LIST).unwrap().response;
    for length in LENGTHS {
        let json = responses::list(length);
        let direct = transcode::response(schema, json.as_bytes(), json.len()).unwrap();
        let usual = usual::response(json.as_bytes());
        let decode =
            |bytes: &[u8]| ListPartnerSharedConnectionsResponse::decode(bytes).unwrap();
        assert_eq!(decode(&direct), decode(&usual));
        assert_eq!(decode(&direct).connections.len(), length);
    }
}

fn print_ratios() {
    const PAIRS: usize = 101;

    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let schema = &contract.rpc(LIST).unwrap().response;
    for length in LENGTHS {
        let json = responses::list(length);
        let rounds = 1_000_000 / json.len() + 1;
        let mut ratios: Vec<f64> = (0..PAIRS)
            .map(|_| {
                let direct = time(rounds, || {
                    transcode::response(schema, black_box(json.as_bytes()), json.len())
                        .unwrap()
                });
                let usual = time(rounds, || usual::response(black_box(json.as_bytes())));
                usual.div_duration_f64(direct)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("list of {length}: direct is {:.1} times as fast", ratios[PAIRS / 2]);
    }
}

#[expect(clippy::disallowed_methods, reason = "no clock is paused in a benchmark")]
fn time<T>(rounds: usize, work: impl Fn() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(work());
    }
    start.elapsed()
}
