#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod protocol;

use super::*;
use crate::status::Context;

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
