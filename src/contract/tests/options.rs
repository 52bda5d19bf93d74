//! The gateway's own option.

use super::{super::*, compile, http, rejection, rpc};

/// Declares an RPC with a REST form and the option.
fn with_option(fields: &str) -> String {
    let rule = http(r#"get: "/a/{id}""#);
    let option = format!("option (polytomic.gateway.v1.rpc) = {{ {fields} }};");
    rpc(&format!("{rule} {option}"), "string id = 1;")
}

fn options(fields: &str) -> Options {
    let contract = compile(&with_option(fields)).unwrap();
    contract.rpc("/test.S/Do").unwrap().options.clone()
}

fn link(title: &str, url: &str) -> Link {
    Link { title: title.to_owned(), url: url.to_owned() }
}

#[test]
fn an_rpc_without_the_option_has_the_defaults() {
    let contract = compile(&rpc(&http(r#"get: "/a""#), "")).unwrap();
    let options = &contract.rpc("/test.S/Do").unwrap().options;
    assert_eq!(options, Options::NONE);
    assert_eq!(options.key_class, KeyClass::Any);
    assert_eq!(*options.api_versions, API_VERSIONS);
}

#[test]
fn each_field_of_the_option_is_read() {
    let read = options(
        r#"key_class: KEY_CLASS_PARTNER
        reference: { title: "the reference" url: "https://example.com/a#b" }
        not_found: { hint: "Check the id." help: { title: "ids" url: "https://example.com" } }
        api_versions: ["2025-09-18", "2023-04-25"]"#,
    );
    let expected = Options {
        key_class: KeyClass::Partner,
        reference: Some(link("the reference", "https://example.com/a#b")),
        not_found: Some(NotFound {
            hint: "Check the id.".to_owned(),
            help: Some(link("ids", "https://example.com")),
        }),
        api_versions: vec!["2025-09-18", "2023-04-25"].into(),
    };
    assert_eq!(read, expected);
    assert_eq!(options("key_class: KEY_CLASS_ANY").key_class, KeyClass::Any);
    assert_eq!(options(r#"not_found: { hint: "A." }"#).not_found.unwrap().help, None);
}

#[test]
fn misuse_of_the_option_is_rejected() {
    let long = format!(r#"not_found: {{ hint: "{}." }}"#, "a".repeat(200));
    let cases = [
        (r"not_found: {}", "not_found.hint is empty"),
        (r#"not_found: { hint: "check" }"#, "must end with a full stop"),
        (r#"not_found: { hint: "a\nb." }"#, "no control characters"),
        (&long, "at most 200 bytes"),
        (r#"reference: { url: "https://example.com" }"#, "reference.title is empty"),
        (r#"reference: { title: "a" }"#, "reference.url is empty"),
        (r#"reference: { title: "a" url: "http://example.com" }"#, "with https://"),
        (r#"reference: { title: "a" url: "https://" }"#, "with https://"),
        (r#"reference: { title: "a" url: "example.com" }"#, "with https://"),
        (
            r#"not_found: { hint: "A." help: { title: "a" url: "x" } }"#,
            "not_found.help.url must",
        ),
        (
            r#"api_versions: "2025-09-19""#,
            "has `2025-09-19`; the known versions are 2025-",
        ),
        (r#"api_versions: """#, "has ``"),
        (r#"api_versions: ["2025-09-18", "2025-09-18"]"#, "`2025-09-18` twice"),
        (r#"api_versions: ["2024-02-08", "2025-09-18"]"#, "before a newer version"),
    ];
    for (fields, expected) in cases {
        let message = rejection(&with_option(fields));
        assert!(message.starts_with("test.S.Do: has the option "), "{message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
}

#[test]
fn errors_are_about_the_last_annotated_variable_of_the_path() {
    let id = |name: &str, number: u8, kind: &str| {
        format!(
            "string {name} = {number} [(google.api.resource_reference).type = \"{kind}\"];"
        )
    };
    let fields = [
        id("inner", 1, "test.Inner"),
        id("outer", 2, "test.Outer"),
        id("in_query", 3, "test.Other"),
        "string plain = 4;".to_owned(),
    ]
    .concat();
    let rule = http(r#"get: "/{outer}/a/{inner}/b/{plain}""#);
    let contract = compile(&rpc(&rule, &fields)).unwrap();
    let resource = contract.rpc("/test.S/Do").unwrap().resource.as_ref().unwrap();
    assert_eq!((&*resource.kind, resource.field), ("test.Inner", 0));

    let contract = compile(&rpc(&http(r#"get: "/a""#), &id("id", 1, "test.A"))).unwrap();
    assert!(contract.rpc("/test.S/Do").unwrap().resource.is_none());
}
