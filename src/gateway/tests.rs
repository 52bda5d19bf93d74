#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod protocol;

use super::*;
use crate::status::Context;

/// Each RPC that waits for Polytomic holds this. An async function holds what it gets by
/// value, and again what it awaits: a future that is passed by value counts twice.
#[test]
fn future_of_an_rpc_is_small() {
    fn size<'a, F>(
        _: impl FnOnce(
            &'a Gateway,
            &'a Arc<Rpc>,
            Instant,
            tonic::Request<Bytes>,
            ReceivedRpc<'a>,
        ) -> F,
    ) -> usize {
        size_of::<F>()
    }

    let size = size(Gateway::call);
    assert!(size < 5 * 1024, "{size} bytes");
}

#[tokio::test]
async fn panic_is_a_failure_without_details() {
    let work = pin!(async { panic!("a secret") });
    let failure = catch_panic::<()>(work).await.unwrap_err();
    assert!(matches!(failure, Failure::Panic));
    let status = failure.into_status(&Context::new("id"));
    assert_eq!(status.code(), tonic::Code::Internal);
    assert_eq!(status.message(), "internal error");
    assert!(!format!("{status:?}").contains("secret"));
}
