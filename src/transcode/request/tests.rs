#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use prost::Message as _;

use super::*;
use crate::{
    contract::{Contract, DESCRIPTOR_SET},
    proto::{CreatePartnerSharedConnectionRequest, ListPartnerSharedConnectionsRequest},
};

const ORG: &str = "248df4b7-aa70-47b8-a036-33ac447e668d";
const CONNECTION: &str = "8e5dcfdd-d23d-4e6f-a136-119e1254847b";
const CHILD: &str = "12345678-1234-1234-1234-123456789012";

fn translate(name: &str, message: &[u8]) -> Result<RestRequest, RequestError> {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let rpc = contract.rpcs().find(|rpc| rpc.name == name).unwrap();
    request(rpc, message)
}

fn list(org_id: &str, connection_id: &str) -> Result<RestRequest, RequestError> {
    let message = ListPartnerSharedConnectionsRequest {
        org_id: org_id.to_owned(),
        connection_id: connection_id.to_owned(),
    };
    translate("ListPartnerSharedConnections", &message.encode_to_vec())
}

fn create(
    change: impl FnOnce(&mut CreatePartnerSharedConnectionRequest),
) -> Result<RestRequest, RequestError> {
    let mut message = CreatePartnerSharedConnectionRequest {
        org_id: ORG.to_owned(),
        connection_id: CONNECTION.to_owned(),
        child_organization_id: CHILD.to_owned(),
        name: None,
    };
    change(&mut message);
    translate("CreatePartnerSharedConnection", &message.encode_to_vec())
}

fn violations<T: std::fmt::Debug>(
    result: Result<T, RequestError>,
) -> Vec<(String, String)> {
    match result {
        Err(RequestError::Invalid(violations)) => violations
            .into_iter()
            .map(|violation| (violation.field, violation.description))
            .collect(),
        other => panic!("no violations: {other:?}"),
    }
}

#[test]
fn list_becomes_a_get_of_the_path() {
    let rest = list(ORG, CONNECTION).unwrap();
    assert_eq!(rest.method, Method::GET);
    assert_eq!(
        rest.path_and_query,
        format!("/api/organizations/{ORG}/connections/{CONNECTION}/shared")
    );
    assert_eq!(rest.body, None);
    let resource = rest.resource.unwrap();
    assert_eq!(
        (&*resource.kind, resource.name.as_str()),
        ("polytomic.Connection", CONNECTION)
    );
}

#[test]
fn body_of_a_create_has_the_fields_that_the_path_does_not_bind() {
    let rest = create(|_| ()).unwrap();
    assert_eq!(rest.method, Method::POST);
    assert_eq!(
        rest.path_and_query,
        format!("/api/organizations/{ORG}/connections/{CONNECTION}/shared")
    );
    let body = String::from_utf8(rest.body.unwrap()).unwrap();
    assert_eq!(body, format!(r#"{{"child_organization_id":"{CHILD}"}}"#));

    let rest =
        create(|message| message.name = Some("Søren's \"copy\" \\ 1".into())).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&rest.body.unwrap()).unwrap();
    assert_eq!(body["name"], "Søren's \"copy\" \\ 1");
}

#[test]
fn uuids_are_sent_in_canonical_form() {
    let rest = list(&ORG.to_uppercase(), CONNECTION).unwrap();
    assert!(rest.path_and_query.contains(ORG));
    let rest =
        create(|message| message.child_organization_id.make_ascii_uppercase()).unwrap();
    assert!(String::from_utf8(rest.body.unwrap()).unwrap().contains(CHILD));
}

#[test]
fn id_that_is_not_a_uuid_is_rejected() {
    let long = "4".repeat(1 << 20);
    for id in [
        "",
        "1",
        "not-a-uuid",
        "..",
        ".",
        "../../admin",
        "%2e%2e",
        "%2f",
        "a/b",
        "?x=1",
        "#",
        "\0",
        "248df4b7-aa70-47b8-a036-33ac447e668\0",
        "248df4b7aa7047b8a03633ac447e668d",
        "{248df4b7-aa70-47b8-a036-33ac447e668d}",
        "urn:uuid:248df4b7-aa70-47b8-a036-33ac447e668d",
        "248df4b7-aa70-47b8-a036-33ac447e668g",
        "248df4b7-aa70-47b8-a036-33ac447e668d ",
        " 248df4b7-aa70-47b8-a036-33ac447e668",
        "２48df4b7-aa70-47b8-a036-33ac447e66",
        &long,
    ] {
        let found = violations(list(id, CONNECTION));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "org_id");
        assert!(found[0].1.contains("UUID"), "{found:?}");
        assert!(found[0].1.len() < 200, "the value is not echoed");
    }
}

#[test]
fn all_violations_are_reported_together() {
    let found = violations(create(|message| {
        message.org_id.clear();
        message.connection_id = "x".into();
        message.child_organization_id = "y".into();
        message.name = Some("a\nb".repeat(1000));
    }));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["org_id", "connection_id", "child_organization_id", "name"]);
    assert!(found[0].1.starts_with("is required"), "{found:?}");
    assert!(found[3].1.contains("at most 1024 characters"), "{found:?}");
}

#[test]
fn name_that_is_empty_or_has_control_characters_is_rejected() {
    assert!(
        violations(create(|m| m.name = Some(String::new())))[0].1.contains("at least 1")
    );
    for name in ["a\0", "\u{7f}", "\u{85}", "tab\tbed"] {
        let found = violations(create(|message| message.name = Some(name.into())));
        assert!(found[0].1.contains("regular expression"), "{found:?}");
    }
    let longest = "é".repeat(1024);
    assert!(create(|message| message.name = Some(longest)).is_ok());
}

#[test]
fn unknown_fields_are_rejected() {
    let known = ListPartnerSharedConnectionsRequest {
        org_id: ORG.to_owned(),
        connection_id: CONNECTION.to_owned(),
    };
    // Field 9, a string: a client with a newer .proto expects it to have an effect.
    let message = [known.encode_to_vec(), vec![9 << 3 | 2, 1, b'x']].concat();
    let found = violations(translate("ListPartnerSharedConnections", &message));
    assert_eq!(found[0].0, "9");
    assert!(found[0].1.contains("newer gateway"), "{found:?}");
}

#[test]
fn reported_unknown_fields_are_bounded() {
    let message: Vec<u8> = (20..10_000_u32)
        .flat_map(|number| {
            let mut field = Vec::new();
            prost::encoding::encode_varint(u64::from(number) << 3, &mut field);
            field.push(0);
            field
        })
        .collect();
    let found = violations(translate("ListPartnerSharedConnections", &message));
    assert!(found.len() < 20, "{}", found.len());
}

#[test]
fn malformed_bytes_are_rejected() {
    let cases: [&[u8]; 9] = [
        b"\xff",
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x08\x01",
        b"\x0d\x01\x00\x00\x00",
        b"\x00",
        b"\x4b\x4b\x4b",
    ];
    for message in cases {
        let found = translate("ListPartnerSharedConnections", message);
        assert!(
            matches!(found, Err(RequestError::Malformed(_))),
            "{message:?}: {found:?}"
        );
    }
}

#[test]
fn strings_that_are_not_utf8_are_rejected() {
    let message = [&b"\x0a\x02\xff\xfe\x12\x24"[..], CONNECTION.as_bytes()].concat();
    let found = violations(translate("ListPartnerSharedConnections", &message));
    assert_eq!(found, [("org_id".to_owned(), "must be UTF-8".to_owned())]);
}

#[test]
fn last_value_of_a_field_is_sent() {
    let first = ListPartnerSharedConnectionsRequest {
        org_id: CHILD.to_owned(),
        connection_id: CHILD.to_owned(),
    };
    let last = ListPartnerSharedConnectionsRequest {
        org_id: ORG.to_owned(),
        connection_id: CONNECTION.to_owned(),
    };
    let message = [first.encode_to_vec(), last.encode_to_vec()].concat();
    let rest = translate("ListPartnerSharedConnections", &message).unwrap();
    assert!(!rest.path_and_query.contains(CHILD));
}
