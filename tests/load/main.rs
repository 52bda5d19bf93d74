//! Load tests: `cargo test --test load -- floods [word]`, `… -- lists`, `… -- streams` and
//! `… -- drain [restarts]`.
//!
//! They run real processes over loopback, print what they measured, and fail if a
//! promise of `docs/decisions/0004-own-serving-loop.md` is broken. `cargo test` leaves
//! them out, since they need an idle machine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it prints its measurements")]

mod attacks;
mod balanced;
mod drain;
mod environment;
mod floods;
mod harness;
mod isolated;
mod lists;
#[path = "../../benches/responses.rs"]
mod responses;
mod streams;
mod unread;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["floods"] => floods::run("").await,
        ["floods", word] => floods::run(word).await,
        ["lists"] => lists::run().await,
        ["drain"] => drain::run(8).await,
        ["drain", restarts] => drain::run(restarts.parse().unwrap()).await,
        ["streams"] => streams::run().await,
        _ => panic!("usage: floods [word] | lists | streams | drain [restarts]"),
    }
}
