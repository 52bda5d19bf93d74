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
fn a_list_becomes_a_get_of_the_path() {
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
fn a_create_has_the_fields_that_the_path_does_not_bind_in_its_body() {
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
fn uuids_are_sent_in_their_canonical_form() {
    let rest = list(&ORG.to_uppercase(), CONNECTION).unwrap();
    assert!(rest.path_and_query.contains(ORG));
    let rest =
        create(|message| message.child_organization_id.make_ascii_uppercase()).unwrap();
    assert!(String::from_utf8(rest.body.unwrap()).unwrap().contains(CHILD));
}

#[test]
fn ids_that_are_no_uuids_are_refused() {
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
        let told = violations(list(id, CONNECTION));
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, "org_id");
        assert!(told[0].1.contains("UUID"), "{told:?}");
        assert!(told[0].1.len() < 200, "the value is not echoed");
    }
}

#[test]
fn every_violation_is_told_at_once() {
    let told = violations(create(|message| {
        message.org_id.clear();
        message.connection_id = "x".into();
        message.child_organization_id = "y".into();
        message.name = Some("a\nb".repeat(1000));
    }));
    let fields: Vec<&str> = told.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["org_id", "connection_id", "child_organization_id", "name"]);
    assert!(told[0].1.starts_with("is required"), "{told:?}");
    assert!(told[3].1.contains("at most 1024 characters"), "{told:?}");
}

#[test]
fn a_name_is_refused_if_it_is_empty_or_has_control_characters() {
    assert!(
        violations(create(|m| m.name = Some(String::new())))[0].1.contains("at least 1")
    );
    for name in ["a\0", "\u{7f}", "\u{85}", "tab\tbed"] {
        let told = violations(create(|message| message.name = Some(name.into())));
        assert!(told[0].1.contains("regular expression"), "{told:?}");
    }
    let longest = "é".repeat(1024);
    assert!(create(|message| message.name = Some(longest)).is_ok());
}

#[test]
fn fields_that_the_message_does_not_have_are_refused() {
    let known = ListPartnerSharedConnectionsRequest {
        org_id: ORG.to_owned(),
        connection_id: CONNECTION.to_owned(),
    };
    // Field 9, a string: a caller with a newer .proto means something by it.
    let message = [known.encode_to_vec(), vec![9 << 3 | 2, 1, b'x']].concat();
    let told = violations(translate("ListPartnerSharedConnections", &message));
    assert_eq!(told[0].0, "9");
    assert!(told[0].1.contains("newer gateway"), "{told:?}");
}

#[test]
fn thousands_of_unknown_fields_are_told_in_few_words() {
    let message: Vec<u8> = (20..10_000_u32)
        .flat_map(|number| {
            let mut field = Vec::new();
            prost::encoding::encode_varint(u64::from(number) << 3, &mut field);
            field.push(0);
            field
        })
        .collect();
    let told = violations(translate("ListPartnerSharedConnections", &message));
    assert!(told.len() < 20, "{}", told.len());
}

#[test]
fn bytes_that_are_no_request_are_refused() {
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
        let told = translate("ListPartnerSharedConnections", message);
        assert!(matches!(told, Err(RequestError::Malformed(_))), "{message:?}: {told:?}");
    }
}

#[test]
fn strings_that_are_not_utf8_are_refused() {
    let message = [&b"\x0a\x02\xff\xfe\x12\x24"[..], CONNECTION.as_bytes()].concat();
    let told = violations(translate("ListPartnerSharedConnections", &message));
    assert_eq!(told, [("org_id".to_owned(), "must be UTF-8".to_owned())]);
}

#[test]
fn the_last_value_of_a_field_counts() {
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
