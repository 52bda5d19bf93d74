#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::{
    budget::Exhausted,
    status::{ErrorResponse, markdown},
    upstream::{Circuit, Error},
};

fn responded(status: u16, body: &str) -> Failure {
    let status = StatusCode::from_u16(status).unwrap();
    let response =
        ErrorResponse::new(status, &HeaderMap::new(), body.as_bytes(), &str::to_owned);
    Failure::ErrorResponse(Box::new(response))
}

fn key(origin: Origin) -> Key {
    Key { value: HeaderValue::from_static("a-key-of-a-create"), origin }
}

/// A create after attempts that failed.
fn create(failures: &[Failure]) -> Effect {
    let mut effect = Effect::new(false, false);
    for failure in failures {
        let cancel = effect.begin().unwrap();
        assert!(cancel.start_sending());
        effect.fail(failure);
    }
    effect
}

const OWN: &str = r#"{"key":"some_key","message":"no","metadata":{}}"#;

#[test]
fn rejections_and_unsent_requests_do_not_change_whether_a_create_may_exist() {
    let failures = [
        Error::Connect("refused".into()).into(),
        Error::NotProcessed("refused".into()).into(),
        Error::NoStream.into(),
        Error::CircuitOpen { circuit: Circuit::Key, retry_after: Duration::from_secs(1) }
            .into(),
        responded(401, OWN),
        responded(403, OWN),
        responded(429, OWN),
        responded(404, "<html>no server here</html>"),
    ];
    for failure in &failures {
        assert!(may_exist_after(true, failure), "{failure}");
        assert!(!may_exist_after(false, failure), "{failure}");
    }
}

#[test]
fn a_create_may_exist_after_what_may_have_taken_effect() {
    let failures = [
        Error::Reset("gone".into()).into(),
        Error::Timeout.into(),
        Failure::DeadlineExceeded,
        Error::Malformed("half").into(),
        Error::TooLarge { limit: 1 }.into(),
        Error::NoMemory(Exhausted::ResponseMemory).into(),
        responded(204, ""),
        responded(302, ""),
        responded(408, ""),
        responded(409, OWN),
        responded(499, ""),
        responded(500, OWN),
        responded(502, ""),
        responded(503, ""),
        responded(504, ""),
    ];
    for failure in &failures {
        assert!(may_exist_after(false, failure), "{failure}");
    }
}

#[test]
fn a_recorded_rejection_settles_that_a_create_does_not_exist() {
    for status in [400, 404, 422] {
        assert!(!may_exist_after(true, &responded(status, OWN)), "{status}");
    }
}

#[test]
fn every_failure_has_its_outcome() {
    use Outcome::{Completed, NotSent, Rejected, Unknown};

    let cases: [(Failure, Outcome, Outcome); 25] = [
        (auth::Error::Missing.into(), NotSent, NotSent),
        (Exhausted::InFlight.into(), NotSent, NotSent),
        (
            Error::CircuitOpen { circuit: Circuit::All, retry_after: Duration::ZERO }
                .into(),
            NotSent,
            NotSent,
        ),
        (Error::Connect("refused".into()).into(), NotSent, NotSent),
        (Error::NotProcessed("refused".into()).into(), NotSent, NotSent),
        (Error::NoStream.into(), NotSent, NotSent),
        (Error::Reset("gone".into()).into(), Unknown, Unknown),
        (Error::Timeout.into(), Unknown, Unknown),
        (Error::Malformed("half").into(), Completed, Unknown),
        (Error::TooLarge { limit: 1 }.into(), Completed, Unknown),
        (Error::NoMemory(Exhausted::ResponseMemory).into(), Completed, Unknown),
        (Failure::DeadlineExceeded, Unknown, Unknown),
        (Failure::Cancelled, Unknown, Unknown),
        (Failure::ConnectionEnded, Unknown, Unknown),
        (Failure::Panic, Unknown, Unknown),
        (auth::Error::Internal.into(), Unknown, Unknown),
        (responded(200, ""), Completed, Unknown),
        (responded(302, ""), Rejected, Unknown),
        (responded(404, ""), Rejected, Rejected),
        (responded(409, ""), Rejected, Unknown),
        (responded(421, ""), Rejected, Rejected),
        (responded(500, ""), Rejected, Unknown),
        (responded(502, ""), Rejected, Unknown),
        (responded(521, ""), Rejected, Rejected),
        (responded(777, ""), Rejected, Unknown),
    ];
    for (failure, of_list, of_create) in cases {
        assert_eq!(of_attempt(&failure, true), of_list, "{failure}");
        assert_eq!(of_attempt(&failure, false), of_create, "{failure}");
    }
}

#[test]
fn a_create_that_may_exist_is_unknown_whatever_the_last_attempt_ended_with() {
    let effect = create(&[Error::Reset("gone".into()).into()]);
    assert!(effect.may_exist());
    for failure in
        [Error::Connect("refused".into()).into(), responded(403, ""), Failure::Panic]
    {
        let (outcome, _) = effect.conclude(&failure, Some(&key(Origin::Given)));
        assert_eq!(outcome, Outcome::Unknown, "{failure}");
    }
    let was_sent = |safe| Effect::new(safe, true).outcome(&auth::Error::Missing.into());
    assert_eq!(was_sent(false), Outcome::Unknown, "a proxy sent it before");
    assert_eq!(was_sent(true), Outcome::NotSent);
}

#[test]
fn a_timeout_before_anything_was_sent_is_not_sent() {
    for late in [|| Failure::DeadlineExceeded, || Failure::from(Error::Timeout)] {
        assert_eq!(Effect::new(false, false).outcome(&late()), Outcome::NotSent);
        assert_eq!(Effect::new(false, true).outcome(&late()), Outcome::Unknown);
        assert_eq!(create(&[late()]).outcome(&late()), Outcome::Unknown);

        let mut cancelled = Effect::new(false, false);
        assert!(cancelled.begin().is_some());
        cancelled.fail(&late());
        assert_eq!(cancelled.outcome(&late()), Outcome::NotSent);
        assert!(!cancelled.may_exist());
    }
}

#[test]
fn an_rpc_is_not_sent_only_if_no_attempt_was_sent() {
    let refused = || Failure::from(Error::Connect("refused".into()));
    let reset = || Failure::from(Error::Reset("gone".into()));
    let outcome = |safe, first: Failure| {
        let mut effect = Effect::new(safe, false);
        let _cancel = effect.begin();
        effect.fail(&first);
        let _cancel = effect.begin();
        effect.fail(&refused());
        effect.outcome(&refused())
    };
    assert_eq!(outcome(false, refused()), Outcome::NotSent);
    assert_eq!(outcome(false, responded(429, OWN)), Outcome::Rejected);
    assert_eq!(outcome(false, reset()), Outcome::Unknown);
    assert_eq!(outcome(true, refused()), Outcome::NotSent);
    assert_eq!(outcome(true, responded(502, "")), Outcome::Rejected);
    assert_eq!(outcome(true, reset()), Outcome::Unknown);
}

#[test]
fn a_create_with_a_response_is_sent_whether_or_not_its_body_was_read() {
    let mut effect = Effect::new(false, false);
    let _cancel = effect.begin();
    effect.respond();
    effect.fail(&Error::Timeout.into());
    assert_eq!(effect.outcome(&Error::Timeout.into()), Outcome::Unknown);
    assert!(effect.may_exist());
}

#[test]
fn a_failure_without_an_attempt_changes_nothing() {
    let mut effect = create(&[Error::Connect("refused".into()).into()]);
    effect.fail(&Error::Timeout.into());
    assert!(!effect.may_exist());
    for dropped in [Failure::Cancelled, Failure::ConnectionEnded] {
        assert_eq!(effect.outcome(&dropped), Outcome::NotSent, "{dropped}");
    }
}

#[test]
fn the_advice_depends_on_effect_failure_and_key() {
    use Origin::{Derived, Fresh, Given};

    let retry = |failure: Failure, key: Option<Key>| {
        create(&[]).retry(&failure, of_attempt(&failure, false), key.as_ref())
    };
    let refused = || Error::Connect("refused".into()).into();
    assert_eq!(retry(refused(), Some(key(Given))), Retry::Safe);
    assert_eq!(retry(refused(), Some(key(Derived))), Retry::ByClient);
    assert_eq!(retry(refused(), Some(key(Fresh))), Retry::ByClient);
    assert_eq!(retry(refused(), None), Retry::ByClient);
    assert_eq!(retry(responded(403, ""), Some(key(Given))), Retry::Never);

    assert_eq!(retry(responded(502, ""), Some(key(Given))), Retry::SameKey);
    for origin in [Derived, Fresh] {
        let advice = retry(responded(502, ""), Some(key(origin)));
        assert_eq!(advice, Retry::ReturnedKey, "{origin:?}");
    }
    assert_eq!(retry(responded(302, ""), Some(key(Given))), Retry::SameKeyOnceFixed);
    for status in [500, 505, 597] {
        let recorded = retry(responded(status, OWN), Some(key(Given)));
        assert_eq!(recorded, Retry::ListThenNewKey);
        let of_a_proxy = retry(responded(status, "<html>"), Some(key(Given)));
        assert_eq!(of_a_proxy, Retry::SameKeyOnceFixed);
    }
    let list = |failure: Failure| {
        let effect = Effect::new(true, false);
        effect.conclude(&failure, None).1
    };
    assert_eq!(list(Error::Reset("gone".into()).into()), Retry::Safe);
    assert_eq!(list(responded(500, "")), Retry::Never);
}

#[test]
fn docs_statuses_has_the_gateways_tables() {
    let page = include_str!("../../../docs/STATUSES.md");
    let (_, rest) = page.split_once("<!-- statuses -->\n").unwrap();
    let (documented, _) = rest.split_once("<!-- /statuses -->").unwrap();
    let printed = markdown::tables(|failure| of_attempt(failure, false));
    assert!(documented == printed, "docs/STATUSES.md should hold:\n{printed}");
}

#[test]
fn a_possible_retry_is_in_doubt_unless_each_try_would_fail_so() {
    let possible_retry = |failures: &[Failure]| {
        let mut effect = create(failures).of_possible_retry(true);
        effect.begin().unwrap().start_sending();
        effect
    };
    for (before, last, outcome) in [
        (None, Error::Connect("refused".into()).into(), Outcome::Unknown),
        (None, responded(429, OWN), Outcome::Unknown),
        (None, responded(404, "<html>no server here</html>"), Outcome::Unknown),
        (None, responded(401, OWN), Outcome::Rejected),
        (None, responded(403, OWN), Outcome::Rejected),
        (None, responded(403, "<html>Forbidden</html>"), Outcome::Unknown),
        (None, responded(404, OWN), Outcome::Rejected),
        (None, auth::Error::Missing.into(), Outcome::NotSent),
        (None, auth::Error::Unavailable("partner key").into(), Outcome::Unknown),
        (Some(Error::Timeout.into()), responded(401, OWN), Outcome::Unknown),
    ] {
        let mut effect = possible_retry(before.as_slice());
        assert!(effect.may_exist(), "newer credentials could create it again");
        effect.fail(&last);
        assert_eq!(effect.conclude(&last, None).0, outcome, "{last}");
    }
    let read = Effect::new(true, false).of_possible_retry(true);
    assert!(!read.may_exist());
}

#[test]
fn a_read_with_a_response_is_never_unknown() {
    let failures = || -> [Failure; 4] {
        [
            Error::Reset("gone".into()).into(),
            Error::Timeout.into(),
            Failure::DeadlineExceeded,
            Failure::Cancelled,
        ]
    };
    for failure in failures() {
        let mut effect = Effect::new(true, false);
        effect.begin();
        effect.respond();
        // The rest of a stream fails later than its attempt.
        assert_eq!(effect.conclude(&failure, None).0, Outcome::Completed, "{failure}");
        effect.fail(&failure);
        assert_eq!(effect.conclude(&failure, None).0, Outcome::Completed, "{failure}");
        effect.begin();
        effect.fail(&failure);
        assert_eq!(effect.conclude(&failure, None).0, Outcome::Unknown, "{failure}");
    }
    for failure in failures() {
        let mut effect = Effect::new(false, false);
        effect.begin().unwrap().start_sending();
        effect.respond();
        effect.fail(&failure);
        assert_eq!(effect.conclude(&failure, None).0, Outcome::Unknown, "{failure}");
    }
}
