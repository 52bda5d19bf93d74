//! The time of an RPC within the gateway, without a client's connection.
//! `just microbench gateway`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

mod called;
mod responses;
mod serving;

use divan::{Bencher, black_box};
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET},
    transcode,
};

use self::{called::Called, serving::Work};

fn main() {
    divan::main();
}

#[divan::bench]
fn request_of_list(bencher: Bencher<'_, '_>) {
    request(bencher, Work::List(1));
}

#[divan::bench]
fn request_of_create(bencher: Bencher<'_, '_>) {
    request(bencher, Work::Create);
}

#[divan::bench(args = [1, 100])]
fn call_of_list(bencher: Bencher<'_, '_>, length: usize) {
    call(bencher, Work::List(length));
}

#[divan::bench]
fn call_of_create(bencher: Bencher<'_, '_>) {
    call(bencher, Work::Create);
}

fn request(bencher: Bencher<'_, '_>, work: Work) {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let rpc = contract.rpc(&work.path()).unwrap();
    let message = work.message();
    bencher.bench_local(|| transcode::request(rpc, black_box(&message)).unwrap());
}

fn call(bencher: Bencher<'_, '_>, work: Work) {
    let called = Called::new(work);
    bencher.bench_local(|| called.call());
}
