//! The owner of a key, as Polytomic's `GET /api/me` states it. The gateway uses it only
//! to reject an RPC early and to name the client in the log, so the reader is lenient:
//! a field that is absent, null or of another type is unknown, never an error.

use std::fmt;

use serde_json::Value;

use super::Redactor;

/// Maximum bytes of a response body. Real ones have under 500.
const MAX_BODY: usize = 64 * 1024;

/// Maximum characters kept of an organization name.
const MAX_NAME: usize = 128;

/// Maximum characters kept of an organization id; a UUID has 36.
const MAX_ID: usize = 64;

/// What Polytomic states about the owner of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The id of the key's organization: up to 64 characters, none of them a control
    /// character.
    pub organization_id: Option<String>,
    /// The name of that organization: up to 128 characters, none of them a control
    /// character.
    pub organization_name: Option<String>,
    /// The class of the key.
    pub class: Class,
    /// The `is_partner` flag as sent. With `None`, the key may be a partner key.
    pub is_partner: Option<bool>,
}

/// The classes of a Polytomic key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A partner key.
    Partner,
    /// A key of one organization.
    Organization,
    /// A key of one user of an organization.
    User,
    /// A system actor, such as the key of an on-premises deployment.
    System,
    /// None of the flags is set.
    Unstated,
}

impl Identity {
    /// Reads the body of a 200 response to `GET /api/me`.
    ///
    /// Returns `None` if the body is longer than 64 KiB or not a JSON object with an
    /// object `data`.
    #[must_use]
    pub fn from_json(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_BODY {
            return None;
        }
        let body: Value = serde_json::from_slice(body).ok()?;
        let data = body.get("data")?.as_object()?;
        let flag = |name: &str| data.get(name).and_then(Value::as_bool);
        let text = |name: &str, longest| {
            data.get(name).and_then(Value::as_str).and_then(|text| clean(text, longest))
        };
        let is_partner = flag("is_partner");
        let class = if is_partner == Some(true) {
            Class::Partner
        } else if flag("is_system") == Some(true) {
            Class::System
        } else if flag("is_organization") == Some(true) {
            Class::Organization
        } else if flag("is_user") == Some(true) {
            Class::User
        } else {
            Class::Unstated
        };
        Some(Self {
            organization_id: text("organization_id", MAX_ID),
            organization_name: text("organization_name", MAX_NAME),
            class,
            is_partner,
        })
    }

    /// Returns it with texts that do not have the key.
    pub(super) fn without(mut self, key: &Redactor) -> Self {
        let texts = [&mut self.organization_id, &mut self.organization_name];
        for text in texts.into_iter().flatten() {
            *text = key.redact(text).into_owned();
        }
        self
    }

    /// Reports whether Polytomic is certain to reject this key where it takes only
    /// partner keys.
    ///
    /// Returns false for a system actor: its rights are not documented, and Polytomic
    /// checks them anyway.
    #[must_use]
    pub fn is_no_partner(&self) -> bool {
        self.is_partner == Some(false) && self.class != Class::System
    }
}

impl Class {
    /// Returns the class as one lower-case word, for logs and error details.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Organization => "organization",
            Self::User => "user",
            Self::System => "system",
            Self::Unstated => "unstated",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Removes control characters, which could forge a log line, and cuts `text` to
/// `longest` characters.
fn clean(text: &str, longest: usize) -> Option<String> {
    let kept = text.chars().filter(|character| !character.is_control());
    let kept: String = kept.take(longest).collect();
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn documented_response_is_read() {
        let body = br#"{"data":{"email":"mail@example.com","id":"248df4b7-aa70-47b8-a036-33ac447e668d",
            "is_organization":false,"is_partner":false,"is_system":false,"is_user":true,
            "organization_id":"248df4b7-aa70-47b8-a036-33ac447e668d",
            "organization_name":"My Organization","role":"admin"}}"#;
        let identity = Identity::from_json(body).unwrap();
        let expected = Identity {
            organization_id: Some("248df4b7-aa70-47b8-a036-33ac447e668d".into()),
            organization_name: Some("My Organization".into()),
            class: Class::User,
            is_partner: Some(false),
        };
        assert_eq!(identity, expected);
        assert!(identity.is_no_partner());
    }

    #[test]
    fn flags_decide_the_class_and_is_partner_wins() {
        let cases = [
            (r#"{"is_partner":true}"#, Class::Partner, false),
            (r#"{"is_partner":true,"is_user":true}"#, Class::Partner, false),
            (r#"{"is_partner":false,"is_organization":true}"#, Class::Organization, true),
            (r#"{"is_partner":false,"is_user":true}"#, Class::User, true),
            (r#"{"is_partner":false,"is_system":true}"#, Class::System, false),
            (r#"{"is_partner":false}"#, Class::Unstated, true),
            (r#"{"is_user":true}"#, Class::User, false),
            (r#"{"is_partner":null,"is_user":true}"#, Class::User, false),
            (r#"{"is_partner":"no","is_user":1}"#, Class::Unstated, false),
            (r"{}", Class::Unstated, false),
        ];
        for (data, class, rejected) in cases {
            let body = format!(r#"{{"data":{data}}}"#);
            let identity = Identity::from_json(body.as_bytes()).unwrap();
            assert_eq!(
                (identity.class, identity.is_no_partner()),
                (class, rejected),
                "{data}"
            );
        }
    }

    #[test]
    fn null_fields_and_wrong_types_are_unknown() {
        let body =
            br#"{"data":{"organization_id":null,"organization_name":7,"is_partner":true,
            "new":{"deep":[1,2]}},"also":"new"}"#;
        let identity = Identity::from_json(body).unwrap();
        assert_eq!((identity.organization_id, identity.organization_name), (None, None));
        assert_eq!(identity.class, Class::Partner);
    }

    #[test]
    fn body_without_an_identity_is_none() {
        let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        let nested = [b"[".repeat(5_000), b"]".repeat(5_000)].concat();
        let cases: [&[u8]; 10] = [
            b"",
            b"null",
            b"{}",
            b"[]",
            br#"{"data":null}"#,
            br#"{"data":[]}"#,
            br#"{"data":{"#,
            b"<html>",
            &deep,
            &nested,
        ];
        for body in cases {
            assert_eq!(Identity::from_json(body), None);
        }
    }

    #[test]
    fn texts_are_cut_and_have_no_control_characters() {
        let name = format!("Acme\\n\\u001b[31m\\u0085{}", "é".repeat(500));
        let body = format!(r#"{{"data":{{"organization_name":"{name}"}}}}"#);
        let kept =
            Identity::from_json(body.as_bytes()).unwrap().organization_name.unwrap();
        assert!(kept.starts_with("Acme[31mé"));
        assert_eq!(kept.chars().count(), MAX_NAME);
        let blank = br#"{"data":{"organization_name":" \n ","organization_id":""}}"#;
        let blank = Identity::from_json(blank).unwrap();
        assert_eq!((blank.organization_name, blank.organization_id), (None, None));
    }
}
