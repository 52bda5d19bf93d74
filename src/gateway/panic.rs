//! Panics of RPCs.

use std::{panic::AssertUnwindSafe, pin::Pin};

use futures_util::FutureExt;

use crate::status::Failure;

/// Turns a panic into the failure of its RPC, which keeps its key and its ID. What
/// panicked is dropped with its future.
pub(super) async fn catch_panic<T>(
    work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or(Err(Failure::Panic))
}
