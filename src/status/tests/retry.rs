//! What a client is told about a retry: whether, with which key, and after what wait.

use super::*;

#[test]
fn create_with_an_unknown_outcome_returns_its_key_and_the_next_step() {
    let cases = [
        (
            Retry::SameKey,
            format!("retry with idempotency key {KEY}, within 24 hours"),
            true,
            None,
        ),
        (
            Retry::ReturnedKey,
            format!("retry with idempotency key {KEY}, within 24 hours"),
            false,
            Some("-1"),
        ),
        (
            Retry::SameKeyOnceFixed,
            format!(
                "once the cause is fixed, retry with idempotency key {KEY}, within 24 hours"
            ),
            false,
            Some("-1"),
        ),
        (
            Retry::ListThenNewKey,
            format!(
                "list first; to retry, use a new idempotency key, since Polytomic replays \
                 this error for {KEY}"
            ),
            false,
            Some("-1"),
        ),
    ];
    for (retry, advice, is_retryable, expected) in cases {
        let lost = Upstream::Reset("eof".into()).into();
        let status = translated(lost, &in_doubt(retry));
        let metadata = metadata(&status);
        assert_eq!(metadata["outcome"], "UNKNOWN");
        assert_eq!(metadata["idempotencyKey"], KEY);
        assert_eq!(metadata["retryable"], is_retryable.to_string(), "{retry:?}");
        let advice = format!("The call may have taken effect: {advice}.");
        assert!(status.message().ends_with(&advice), "{}", status.message());
        let help = status.get_details_help().unwrap();
        let replays = help.links[0].description.contains("replays the error");
        assert_eq!(replays, retry == Retry::ListThenNewKey);
        assert_eq!(pushback(&status), expected, "{retry:?}");
    }
}

#[test]
fn change_with_an_unknown_outcome_and_no_key_warns_of_a_retry() {
    let context = Context { idempotency_key: None, ..in_doubt(Retry::ReturnedKey) };
    let status = translated(responded(502, ""), &context);
    assert!(status.message().ends_with("taken effect: a retry may take effect again."));
}

#[test]
fn retry_policies_are_pushed_back_if_only_the_client_may_retry() {
    let context = Context { retry: Retry::ByClient, ..create() };
    let status = translated(Upstream::Connect("refused".into()).into(), &context);
    assert_eq!(metadata(&status)["retryable"], "true");
    assert_eq!(pushback(&status), Some("-1"));
}

#[test]
fn wait_is_exact_in_the_details_and_has_jitter_in_the_pushback() {
    let limited = || responded_with(429, &[("retry-after", "7")], "{}");
    let status = translate::status(limited(), &retried(), 1_400);
    assert_eq!(
        status.get_details_retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(7))
    );
    assert_eq!(pushback(&status), Some("8400"));
    assert!(status.message().ends_with("Retrying after 7 s is safe."));

    let status = translate::status(limited(), &retried(), 1_401);
    assert_eq!(pushback(&status), Some("7000"));

    let open = Upstream::CircuitOpen {
        circuit: Circuit::All,
        retry_after: Duration::from_secs(600),
    };
    let status = translated(open.into(), &retried());
    assert_eq!(
        status.get_details_retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(600))
    );
    assert_eq!(pushback(&status), Some("600000"));
}

/// Java reads it as an `int`, and does not retry if it is larger.
#[test]
fn pushback_fits_into_31_bits() {
    let limited = || responded_with(429, &[("retry-after", "2592000")], "{}");
    for draw in [0, u64::MAX] {
        let status = translate::status(limited(), &retried(), draw);
        let wait = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(wait, Some(Duration::from_secs(2_592_000)));
        assert_eq!(pushback(&status), Some("2147483647"));
    }
}

#[test]
fn overload_without_a_wait_gets_that_of_the_gateway() {
    for status in [429, 503, 509, 529] {
        let status = translated(responded(status, ""), &retried());
        let wait = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(wait, Some(Duration::from_secs(1)));
    }
    let short = responded_with(502, &[("retry-after-ms", "250")], "");
    assert_eq!(pushback(&translated(short, &retried())), Some("250"));
    let useless = translated(responded_with(403, &[("retry-after", "5")], ""), &list());
    assert!(useless.get_details_retry_info().is_none());
    assert_eq!(pushback(&useless), Some("-1"));
}
