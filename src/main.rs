//! The `polytomic-gateway` command.
fn main() {}
