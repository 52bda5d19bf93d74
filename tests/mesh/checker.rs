//! Compares what a client learned of its create with what exists.

use std::collections::BTreeSet;

/// What a client knows in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Learned {
    /// Nothing: no RPC has ended.
    #[default]
    Nothing,
    /// The share exists, with this ID.
    Made(String),
    /// No share exists: every RPC had the outcome `NOT_SENT`.
    NotMade,
    /// No share exists: Polytomic rejected it.
    Rejected,
    /// The share may exist.
    Unknown,
    /// Two RPCs of one create returned these IDs.
    MadeTwice(String, String),
}

/// What a client says about one create.
#[derive(Clone)]
pub(crate) struct Claim {
    /// The name of the share, which no other create has.
    pub(crate) name: String,
    /// Whether Polytomic accepts the create.
    pub(crate) is_valid: bool,
    /// Whether the client retried with its own key until the outcome was known.
    pub(crate) is_settled: bool,
    pub(crate) learned: Learned,
    /// What the client got, for the report of a failure.
    pub(crate) replies: Vec<String>,
}

/// What Polytomic has of one create.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// The IDs of its shares.
    pub(crate) shares: Vec<String>,
    /// The idempotency keys of its requests. Two keys are two shares that only luck
    /// prevents.
    pub(crate) keys: BTreeSet<String>,
}

/// Checks one create.
///
/// # Errors
///
/// What is wrong, in words.
pub(crate) fn check(claim: &Claim, evidence: &Evidence) -> Result<(), String> {
    let Evidence { shares, keys } = evidence;
    let problem = match (&claim.learned, &shares[..]) {
        (_, [_, _, ..]) => "it was made more than once",
        (Learned::MadeTwice(..), _) => "its client got two IDs",
        (_, [_]) if !claim.is_valid => "it was made, although Polytomic rejects it",
        (Learned::Nothing, _) => "no RPC of it ended",
        (Learned::Made(_), []) => "its client got an ID, and no share exists",
        (Learned::Made(id), [share]) if id != share => "its client got another ID",
        (Learned::NotMade | Learned::Rejected, [_]) => {
            "it was made, and its client was told that it was not"
        }
        (Learned::Unknown | Learned::NotMade, _) if claim.is_settled => {
            "its client gave up"
        }
        (Learned::Rejected, _) if claim.is_valid => "Polytomic did not reject it",
        _ if keys.len() > 1 => "it was sent with more than one idempotency key",
        _ => return Ok(()),
    };
    let Claim { name, learned, replies, .. } = claim;
    let replies = replies.join(
        "
  ",
    );
    Err(format!(
        "{name}: {problem}: {learned:?}, {evidence:?}
  {replies}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Learned {
        Learned::Made("a".to_owned())
    }

    fn claim(learned: Learned) -> Claim {
        let (name, replies) = ("n".to_owned(), Vec::new());
        Claim { name, is_valid: true, is_settled: false, learned, replies }
    }

    fn evidence(shares: &[&str], keys: &[&str]) -> Evidence {
        Evidence {
            shares: shares.iter().map(ToString::to_string).collect(),
            keys: keys.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_true_outcome_passes() {
        for (learned, shares) in [
            (made(), &["a"][..]),
            (Learned::NotMade, &[]),
            (Learned::Unknown, &[]),
            (Learned::Unknown, &["a"]),
        ] {
            let problem = check(&claim(learned), &evidence(shares, &["k"])).err();
            assert_eq!(problem, None);
        }
    }

    #[test]
    fn a_doubled_share_is_found_whatever_the_client_learned() {
        for learned in [made(), Learned::NotMade, Learned::Rejected, Learned::Unknown] {
            let doubled = evidence(&["a", "b"], &["k"]);
            assert!(check(&claim(learned), &doubled).is_err());
        }
    }

    #[test]
    fn an_untrue_outcome_is_found() {
        for (learned, shares) in [
            (made(), &[][..]),
            (made(), &["b"]),
            (Learned::NotMade, &["a"]),
            (Learned::Rejected, &["a"]),
            (Learned::Rejected, &[]),
            (Learned::Nothing, &[]),
            (Learned::MadeTwice("a".to_owned(), "b".to_owned()), &["a"]),
        ] {
            let problem = check(&claim(learned.clone()), &evidence(shares, &["k"]));
            assert!(problem.is_err(), "{learned:?}");
        }
    }

    #[test]
    fn a_second_key_is_found_before_it_makes_a_share() {
        for learned in [made(), Learned::Unknown] {
            assert!(check(&claim(learned), &evidence(&["a"], &["k", "l"])).is_err());
        }
    }

    #[test]
    fn a_client_that_retries_with_its_key_must_get_its_share() {
        for learned in [Learned::Unknown, Learned::NotMade, Learned::Rejected] {
            let claim = Claim { is_settled: true, ..claim(learned) };
            assert!(check(&claim, &evidence(&[], &["k"])).is_err());
        }
        let rejected =
            Claim { is_valid: false, is_settled: true, ..claim(Learned::Rejected) };
        assert!(check(&rejected, &evidence(&[], &["k"])).is_ok());
        assert!(check(&rejected, &evidence(&["a"], &["k"])).is_err());
    }
}
