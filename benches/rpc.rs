//! The time of a whole RPC: client, gateway and upstream on one thread, over
//! loopback. `just microbench rpc`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

mod loopback;
mod responses;
mod serving;

use divan::Bencher;

use self::{loopback::Loopback, serving::Work};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 100])]
fn list(bencher: Bencher<'_, '_>, length: usize) {
    measure(bencher, Work::List(length));
}

#[divan::bench]
fn create(bencher: Bencher<'_, '_>) {
    measure(bencher, Work::Create);
}

fn measure(bencher: Bencher<'_, '_>, work: Work) {
    let mut loopback = Loopback::new(work);
    bencher.bench_local(|| loopback.call());
}
