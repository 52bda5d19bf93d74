//! The instructions of an RPC, counted by valgrind. `just instructions`
//! compares them with `benches/instructions.baseline`.
//!
//! A count depends on the compiler and the processor, for which functions such as
//! `memcpy` choose their code. It does not depend on how busy the machine is. `just
//! counts` counts whole RPCs, both connections included.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    missing_docs,
    reason = "the code comes from the macros of gungraun"
)]

mod called;
mod responses;
mod serving;

use std::{hint::black_box, io};

use bytes::Bytes;
use gungraun::{library_benchmark, library_benchmark_group, main};
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET},
    telemetry::{self, Format, Writer},
    transcode::{self, RestRequest},
};

use self::{called::Called, serving::Work};

fn message(work: Work) -> (Contract, String, Bytes) {
    (Contract::compile(DESCRIPTOR_SET).unwrap(), work.path(), work.message())
}

#[library_benchmark(setup = message)]
#[bench::list(Work::List(1))]
#[bench::create(Work::Create)]
fn request(
    (contract, path, message): (Contract, String, Bytes),
) -> (Contract, RestRequest) {
    let request = transcode::request(contract.rpc(&path).unwrap(), black_box(&message));
    (contract, request.unwrap())
}

#[library_benchmark(setup = Called::new)]
#[bench::list_of_1(Work::List(1))]
#[bench::list_of_100(Work::List(100))]
#[bench::create(Work::Create)]
fn call(called: Called) -> (Called, Bytes) {
    let message = called.call();
    (called, message)
}

fn logged(work: Work) -> Called {
    let writer = Writer::to(io::sink()).unwrap();
    telemetry::init("info", Format::Json, writer).unwrap();
    Called::new(work)
}

// With its line in the log.
#[library_benchmark(setup = logged)]
#[bench::list_of_1(Work::List(1))]
fn logged_call(called: Called) -> (Called, Bytes) {
    let message = called.call();
    (called, message)
}

library_benchmark_group!(name = all, benchmarks = [request, call, logged_call]);
main!(library_benchmark_groups = all);
