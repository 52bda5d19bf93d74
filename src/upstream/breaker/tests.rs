#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tokio::time::advance;

use super::{
    own::{FEWEST, FIRST_OPEN_FOR, LONGEST_OPEN_FOR, REST},
    row::{IN_A_ROW, LASTING, WINDOW},
    shared::SPREAD,
    *,
};
use crate::budget::KeyId;

const SECOND: Duration = Duration::from_secs(1);

fn breaker() -> Arc<Breaker> {
    Arc::new(Breaker::new())
}

fn key(number: usize) -> Holder {
    Holder::of_client(KeyId(number as u64), true)
}

fn unverified(number: usize) -> Holder {
    Holder::of_client(KeyId(1_000_000 + number as u64), false)
}

fn path(number: usize) -> Holder {
    Holder::of_gateway(KeyId(0), &format!("/path/{number}?query"))
}

fn record(breaker: &Arc<Breaker>, holder: &Holder, evidence: Evidence, times: u32) {
    for _ in 0..times {
        breaker.admit(holder.clone()).unwrap().record(evidence);
    }
}

/// Returns the circuit that stops a holder's requests, and for how long.
fn stopped(breaker: &Arc<Breaker>, holder: &Holder) -> Option<(Circuit, Duration)> {
    match breaker.admit(holder.clone()) {
        Ok(_) => None,
        Err(Error::CircuitOpen { circuit, retry_after }) => Some((circuit, retry_after)),
        Err(other) => panic!("{other}"),
    }
}

/// Has the holders fail in turn, in a row that lasts long enough, until a circuit opens.
async fn fail(breaker: &Arc<Breaker>, holders: &[Holder]) {
    for number in 0..IN_A_ROW {
        if number == IN_A_ROW - 1 {
            advance(LASTING).await;
        }
        let holder = &holders[number as usize % holders.len()];
        let Ok(permit) = breaker.admit(holder.clone()) else { return };
        permit.record(Evidence::Fails);
    }
}

/// Returns a breaker whose circuit for all is open, and that of no key.
async fn open_for_all() -> Arc<Breaker> {
    let breaker = breaker();
    fail(&breaker, &(0..SPREAD).map(key).collect::<Vec<_>>()).await;
    assert!(!breaker.is_closed_for_all());
    breaker
}

#[tokio::test]
async fn unverified_keys_are_one_client_and_so_are_all_paths() {
    let breaker = breaker();
    let client = |holder| breaker.admit(holder).unwrap().client();
    assert_eq!(client(unverified(1)), client(unverified(2)));
    assert_eq!(client(path(1)), client(path(2)));
    assert_eq!(client(key(1)), client(key(1)));
    assert_ne!(client(key(1)), client(key(2)));
    assert_ne!(client(key(1)), client(unverified(1)));
}

#[tokio::test(start_paused = true)]
async fn lasting_failures_in_a_row_open_the_circuit_of_their_key_only() {
    let breaker = breaker();
    record(&breaker, &key(1), Evidence::Fails, 10 * IN_A_ROW);
    assert_eq!(stopped(&breaker, &key(1)), None, "all of them came in one moment");
    advance(LASTING).await;
    record(&breaker, &key(1), Evidence::Responds, 1);
    record(&breaker, &key(1), Evidence::Fails, 1);
    assert_eq!(stopped(&breaker, &key(1)), None, "one succeeded in between");

    fail(&breaker, &[key(1)]).await;
    assert_eq!(stopped(&breaker, &key(1)), Some((Circuit::Key, FIRST_OPEN_FOR)));
    assert!(breaker.is_closed_for_all());
    assert_eq!(stopped(&breaker, &key(2)), None);
}

#[tokio::test(start_paused = true)]
async fn success_admitted_before_the_first_failure_ends_the_row() {
    let breaker = breaker();
    let slow = breaker.admit(key(1)).unwrap();
    record(&breaker, &key(1), Evidence::Fails, IN_A_ROW - 1);
    advance(LASTING).await;
    slow.record(Evidence::Responds);
    record(&breaker, &key(1), Evidence::Fails, 1);
    assert_eq!(stopped(&breaker, &key(1)), None);
}

#[tokio::test(start_paused = true)]
async fn failures_with_long_pauses_open_no_circuit() {
    let breaker = breaker();
    for _ in 0..10 * IN_A_ROW {
        record(&breaker, &key(1), Evidence::Fails, 1);
        record(&breaker, &key(2), Evidence::Fails, 1);
        record(&breaker, &key(3), Evidence::Fails, 1);
        advance(WINDOW + SECOND).await;
    }
    assert_eq!(stopped(&breaker, &key(1)), None);
}

#[tokio::test(start_paused = true)]
async fn large_share_of_failures_opens_the_circuit_of_their_key() {
    for (failures, successes, is_open) in [
        (FEWEST / 2, FEWEST / 2, true),
        (FEWEST / 2 - 1, FEWEST / 2 + 1, false),
        (FEWEST / 2 - 1, FEWEST / 2 - 1, false),
    ] {
        let breaker = breaker();
        for _ in 0..failures.min(successes) {
            record(&breaker, &key(1), Evidence::Fails, 1);
            record(&breaker, &key(1), Evidence::Responds, 1);
        }
        record(&breaker, &key(1), Evidence::Responds, successes.saturating_sub(failures));
        advance(WINDOW).await;
        record(&breaker, &key(1), Evidence::Fails, 1);
        let stopped = stopped(&breaker, &key(1));
        assert_eq!(stopped.is_some(), is_open, "{failures} and {successes}");
        assert!(breaker.is_closed_for_all());
    }
}

#[tokio::test(start_paused = true)]
async fn success_or_old_failure_opens_no_circuit() {
    let breaker = breaker();
    record(&breaker, &key(1), Evidence::Fails, 60);
    advance(WINDOW).await;
    record(&breaker, &key(1), Evidence::Responds, 1);
    assert_eq!(stopped(&breaker, &key(1)), None, "that was a success");
    advance(WINDOW).await;
    record(&breaker, &key(1), Evidence::Fails, 1);
    assert_eq!(stopped(&breaker, &key(1)), None, "the failures are old");
}

#[tokio::test(start_paused = true)]
async fn paths_with_the_gateways_key_have_a_circuit_each() {
    let breaker = breaker();
    fail(&breaker, &[path(1)]).await;
    assert_eq!(stopped(&breaker, &path(1)), Some((Circuit::Path, FIRST_OPEN_FOR)));
    let other_query = Holder::of_gateway(KeyId(0), "/path/1?other");
    assert!(stopped(&breaker, &other_query).is_some());
    assert_eq!(stopped(&breaker, &path(2)), None);
}

#[tokio::test(start_paused = true)]
async fn failures_of_several_holders_open_the_circuit_of_all() {
    for holder in [key, path] {
        for (count, is_open) in [(SPREAD - 1, false), (SPREAD, true)] {
            let breaker = breaker();
            fail(&breaker, &(0..count).map(holder).collect::<Vec<_>>()).await;
            assert_eq!(!breaker.is_closed_for_all(), is_open, "{count}");
            let other = stopped(&breaker, &holder(99));
            assert_eq!(other, is_open.then_some((Circuit::All, PROBE_INTERVAL)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn circuit_of_all_stays_closed_while_any_request_gets_a_response() {
    let breaker = breaker();
    for number in 0..100 {
        let failing: Vec<_> = (0..10).map(|other| key(number * 10 + other)).collect();
        for holder in &failing {
            record(&breaker, holder, Evidence::Fails, 1);
        }
        advance(SECOND / 10).await;
        record(&breaker, &key(usize::MAX), Evidence::Responds, 1);
    }
    assert!(breaker.is_closed_for_all());
}

#[tokio::test(start_paused = true)]
async fn keys_that_polytomic_may_not_know_count_as_one() {
    let breaker = breaker();
    for round in 0..10 {
        let made_up: Vec<_> =
            (0..IN_A_ROW).map(|key| unverified((round * 100 + key) as usize)).collect();
        fail(&breaker, &made_up).await;
    }
    assert!(breaker.is_closed_for_all());
    fail(&breaker, &[key(1), unverified(1)]).await;
    assert!(breaker.is_closed_for_all());
    fail(&breaker, &[key(1), key(2), unverified(1)]).await;
    assert!(!breaker.is_closed_for_all());
}

#[tokio::test(start_paused = true)]
async fn failures_to_connect_open_the_circuit_of_all_and_of_no_key() {
    let breaker = breaker();
    record(&breaker, &key(1), Evidence::Unreachable, IN_A_ROW - 1);
    advance(LASTING).await;
    record(&breaker, &key(1), Evidence::Unreachable, 1);
    assert_eq!(stopped(&breaker, &key(1)), Some((Circuit::All, PROBE_INTERVAL)));
    // The only holder need not rest: the failure is not its own.
    for _ in 0..10 {
        advance(PROBE_INTERVAL).await;
        record(&breaker, &key(1), Evidence::Unreachable, 1);
    }
    advance(PROBE_INTERVAL).await;
    record(&breaker, &key(1), Evidence::Responds, 1);
    assert_eq!(stopped(&breaker, &key(1)), None);
}

#[tokio::test(start_paused = true)]
async fn probe_closes_the_circuit_of_a_key_or_keeps_it_open_for_longer() {
    let breaker = breaker();
    fail(&breaker, &[key(1)]).await;
    advance(FIRST_OPEN_FOR).await;
    let probe = breaker.admit(key(1)).unwrap();
    assert_eq!(stopped(&breaker, &key(1)), Some((Circuit::Key, PROBE_INTERVAL)));
    probe.record(Evidence::Fails);
    assert_eq!(stopped(&breaker, &key(1)), Some((Circuit::Key, FIRST_OPEN_FOR * 2)));
    advance(FIRST_OPEN_FOR * 2).await;
    record(&breaker, &key(1), Evidence::Responds, 1);
    record(&breaker, &key(1), Evidence::Responds, 5);
}

#[tokio::test(start_paused = true)]
async fn probe_that_gets_no_response_is_followed_by_another() {
    let breaker = breaker();
    fail(&breaker, &[key(1)]).await;
    advance(FIRST_OPEN_FOR).await;
    let mut hanging = Vec::new();
    for _ in 0..10 {
        hanging.push(breaker.admit(key(1)).unwrap());
        assert!(stopped(&breaker, &key(1)).is_some());
        advance(PROBE_INTERVAL).await;
    }
    // The first that fails doubles the wait; the others change nothing.
    for probe in hanging.drain(1..) {
        probe.record(Evidence::Fails);
        assert_eq!(stopped(&breaker, &key(1)), Some((Circuit::Key, FIRST_OPEN_FOR * 2)));
    }
    // A probe that is dropped counts for nothing.
    advance(FIRST_OPEN_FOR * 2).await;
    drop(breaker.admit(key(1)).unwrap());
    advance(PROBE_INTERVAL).await;
    record(&breaker, &key(1), Evidence::Responds, 2);
}

#[tokio::test(start_paused = true)]
async fn open_time_of_a_circuit_has_a_limit() {
    let breaker = breaker();
    fail(&breaker, &[key(1)]).await;
    for _ in 0..20 {
        advance(LONGEST_OPEN_FOR).await;
        record(&breaker, &key(1), Evidence::Fails, 1);
    }
    assert_eq!(stopped(&breaker, &key(1)), Some((Circuit::Key, LONGEST_OPEN_FOR)));
}

#[tokio::test(start_paused = true)]
async fn request_from_before_the_circuit_of_a_key_opened_does_not_count() {
    let breaker = breaker();
    let early = [breaker.admit(key(1)).unwrap(), breaker.admit(key(1)).unwrap()];
    fail(&breaker, &[key(1)]).await;
    let [one, other] = early;
    one.record(Evidence::Responds);
    other.record(Evidence::Fails);
    assert_eq!(stopped(&breaker, &key(1)), Some((Circuit::Key, FIRST_OPEN_FOR)));
}

#[tokio::test(start_paused = true)]
async fn any_response_closes_the_circuits_of_all() {
    let breaker = breaker();
    let early = breaker.admit(key(99)).unwrap();
    fail(&breaker, &[key(1)]).await;
    fail(&breaker, &[key(2), key(3), key(4)]).await;
    assert!(!breaker.is_closed_for_all());
    early.record(Evidence::Responds);
    for number in 1..5 {
        assert_eq!(stopped(&breaker, &key(number)), None, "{number}");
    }
}

/// A client that fails takes each probe that it can, with three keys, and its requests
/// hang. Others wait for a probe of theirs for a moment, not for those.
#[tokio::test(start_paused = true)]
async fn hanging_probes_of_failing_keys_do_not_keep_others_waiting() {
    let breaker = open_for_all().await;
    let mut hanging = Vec::new();
    let mut waited = Duration::ZERO;
    let other = loop {
        for number in 0..SPREAD {
            hanging.extend(breaker.admit(key(number)));
        }
        match breaker.admit(key(99)) {
            Ok(permit) => break permit,
            Err(_) => advance(SECOND / 10).await,
        }
        waited += SECOND / 10;
        assert!(waited <= SECOND * 3, "{} probes were sent", hanging.len());
    };
    other.record(Evidence::Responds);
    assert!(breaker.is_closed_for_all());
}

#[tokio::test(start_paused = true)]
async fn failing_probes_leave_the_probes_of_others_as_they_were() {
    let breaker = open_for_all().await;
    for _ in 0..60 {
        advance(PROBE_INTERVAL).await;
        for number in 0..SPREAD {
            if let Ok(permit) = breaker.admit(key(number)) {
                permit.record(Evidence::Fails);
            }
        }
    }
    advance(REST).await;
    assert_eq!(stopped(&breaker, &key(99)), None);
}

#[tokio::test(start_paused = true)]
async fn keys_that_polytomic_may_not_know_take_no_probe_of_others() {
    let breaker = open_for_all().await;
    let mut probes = 0;
    for number in 0..1_000 {
        probes += u32::from(breaker.admit(unverified(number)).is_ok());
        advance(SECOND / 100).await;
    }
    assert!((8..=10).contains(&probes), "{probes}");
    assert_eq!(stopped(&breaker, &key(99)), None);
}

#[tokio::test(start_paused = true)]
async fn circuit_of_all_lets_through_one_probe_a_second() {
    let breaker = open_for_all().await;
    let mut probes = 0;
    for number in 0..1_000 {
        probes += u32::from(breaker.admit(key(100 + number)).is_ok());
        advance(SECOND / 100).await;
    }
    assert!((8..=10).contains(&probes), "{probes}");
}

#[tokio::test(start_paused = true)]
async fn only_holders_that_fail_are_remembered() {
    let breaker = breaker();
    let is_remembered = |holder: &Holder| {
        let id = breaker.id(holder);
        breaker.circuits().own.get(id, Instant::now()).is_some()
    };
    record(&breaker, &key(0), Evidence::Responds, 1);
    record(&breaker, &path(0), Evidence::Fails, 1);
    assert!(!is_remembered(&key(0)));
    assert!(is_remembered(&path(0)));
}
