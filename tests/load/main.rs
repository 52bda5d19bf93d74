//! What the gateway bears: `cargo test --test load -- floods [word]` and `… --
//! drain [restarts]`. Real processes, loopback only, bounded in time. It prints what
//! it measured and fails if a promise of `docs/decisions/0004-own-serving-loop.md`
//! is broken. Not a part of `cargo test`, since it wants the machine for itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is its output")]

mod attacks;
mod balanced;
mod drain;
mod environment;
mod floods;
mod harness;
mod isolated;
mod unread;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["floods"] => floods::run("").await,
        ["floods", word] => floods::run(word).await,
        ["drain"] => drain::run(8).await,
        ["drain", restarts] => drain::run(restarts.parse().unwrap()).await,
        _ => panic!("say floods, and perhaps which, or drain and how many restarts"),
    }
}
