#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use protox::{
    Compiler,
    file::{
        ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
    },
};

mod options;

use super::*;

/// A `.proto` file with the declarations of a test.
struct TestFile(String);

impl FileResolver for TestFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "test.proto" {
            return File::from_source(name, &self.0);
        }
        Err(protox::Error::file_not_found(name))
    }
}

fn compile(declarations: &str) -> Result<Contract, Error> {
    let source = format!(
        r#"syntax = "proto3";
        package test;
        import "buf/validate/validate.proto";
        import "google/api/annotations.proto";
        import "google/api/field_behavior.proto";
        import "google/protobuf/duration.proto";
        import "google/protobuf/struct.proto";
        import "google/protobuf/timestamp.proto";
        import "google/api/resource.proto";
        import "polytomic/gateway/v1/options.proto";
        {declarations}"#
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(TestFile(source));
    resolver.add(IncludeFileResolver::new("proto".into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("test.proto").unwrap();
    Contract::compile(&compiler.encode_file_descriptor_set())
}

/// Declares an RPC with a rule and the fields of its request.
fn rpc(rule: &str, fields: &str) -> String {
    format!(
        "service S {{ rpc Do(Request) returns (Response) {{ {rule} }} }}
        message Request {{ {fields} }}
        message Response {{}}"
    )
}

fn http(rule: &str) -> String {
    format!("option (google.api.http) = {{ {rule} }};")
}

fn rejection(declarations: &str) -> String {
    compile(declarations).unwrap_err().to_string()
}

#[test]
fn embedded_descriptors_compile() {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let services = contract.services();
    assert_eq!(services, ["polytomic.connections.v1.PartnerSharedConnectionsService"]);
    let path = format!("/{}/ListPartnerSharedConnections", services[0]);
    let list = contract.rpc(&path).unwrap();
    assert_eq!(list.path(), path);
    assert!(list.binding.is_safe());
    assert_eq!(list.options.key_class, KeyClass::Partner);
    let page = list.options.reference.as_ref().unwrap();
    assert!(page.url.ends_with("/list-shared-connections-for-partner"), "{page:?}");
    assert!(contract.rpc("/x/y").is_none());
    for (index, rpc) in contract.rpcs().enumerate() {
        assert_eq!(rpc.index, index);
        assert!(std::ptr::eq(contract.rpc(rpc.path()).unwrap().as_ref(), rpc));
    }
}

#[test]
fn binding_states_the_place_of_each_field() {
    let rule = http(r#"post: "/a/{id}/b" body: "what""#);
    let fields = r#"string id = 1; string what = 2;
        repeated int32 how = 3 [json_name = "how[]"];"#;
    let contract = compile(&rpc(&rule, fields)).unwrap();
    let rpc = contract.rpc("/test.S/Do").unwrap();
    assert_eq!(rpc.to_string(), "test.S/Do POST /a/{id}/b body=what");
    let literal = |text: &str| Piece::Literal(text.to_owned());
    let binding = &rpc.binding;
    assert_eq!(binding.path, [literal("/a/"), Piece::Field(0), literal("/b")]);
    assert_eq!(binding.body, Body::Field(1));
    assert_eq!(binding.query, [Parameter { field: 2, key: "how%5B%5D=".to_owned() }]);
    assert!(!binding.is_safe() && binding.is_repeatable());
}

#[test]
fn only_safe_methods_and_post_are_repeatable() {
    for verb in ["put", "patch", "delete"] {
        let contract = compile(&rpc(&http(&format!(r#"{verb}: "/a""#)), "")).unwrap();
        assert!(!contract.rpc("/test.S/Do").unwrap().binding.is_repeatable(), "{verb}");
    }
}

#[test]
fn key_is_the_stated_json_name_or_the_field_name() {
    let fields = r#"string plain_name = 1;
        string renamed = 2 [json_name = "data"];
        string camel_case = 3 [json_name = "camelCase"];"#;
    let contract = compile(&rpc(&http(r#"get: "/a""#), fields)).unwrap();
    let request = contract.rpc("/test.S/Do").unwrap().request.root();
    let keys: Vec<&str> = request.fields.iter().map(|field| field.key.as_str()).collect();
    assert_eq!(keys, ["plain_name", "data", "camelCase"]);
}

#[test]
fn message_types_may_be_recursive() {
    let fields = "Tree tree = 1;";
    let tree =
        "message Tree { repeated Tree branches = 1; google.protobuf.Struct leaf = 2; }";
    let rule = http(r#"post: "/a" body: "*""#);
    let contract = compile(&(rpc(&rule, fields) + tree)).unwrap();
    let request = &contract.rpc("/test.S/Do").unwrap().request;
    let Kind::Message(index) = request.root().fields[0].kind else {
        panic!("not a message")
    };
    assert_eq!(request.message(index).fields[0].kind, Kind::Message(index));
    assert_eq!(request.message(index).fields[1].kind, Kind::Struct);
}

#[test]
fn declared_rules_are_read() {
    let fields = r#"
        string a = 1 [(google.api.field_behavior) = REQUIRED, (buf.validate.field).string.uuid = true];
        string b = 2 [(buf.validate.field).string = {min_len: 1, max_len: 9, pattern: "^x"}];
        string c = 3;"#;
    let contract = compile(&rpc(&http(r#"get: "/a""#), fields)).unwrap();
    let [a, b, c] = &contract.rpc("/test.S/Do").unwrap().request.root().fields[..] else {
        panic!("not three fields")
    };
    assert!(a.rules.required && a.rules.uuid);
    assert_eq!((b.rules.min_len, b.rules.max_len), (Some(1), Some(9)));
    assert_eq!(b.rules.pattern.as_ref().unwrap().to_string(), "^x");
    assert!(!c.rules.required && !c.rules.uuid && c.rules.pattern.is_none());
}

#[test]
fn unsupported_declaration_is_rejected_with_the_rpc_and_the_fix() {
    let id = "string id = 1;";
    let cases = [
        (
            "no annotation",
            String::new(),
            id,
            "has no REST form; add `option (google.api.http)",
        ),
        ("no path", http(r#"body: "*""#), id, "states no path"),
        (
            "custom",
            http(r#"custom: {kind: "HEAD" path: "/a"}"#),
            id,
            "custom is not supported",
        ),
        (
            "additional bindings",
            http(r#"get: "/a" additional_bindings: {get: "/b"}"#),
            id,
            "additional_bindings is not supported",
        ),
        (
            "response body",
            http(r#"get: "/a" response_body: "x""#),
            id,
            "response_body is not",
        ),
        ("relative path", http(r#"get: "a""#), id, "must start with `/`"),
        ("empty segment", http(r#"get: "/a//b""#), id, "empty segment"),
        ("last slash", http(r#"get: "/a/""#), id, "empty segment"),
        ("dots", http(r#"get: "/a/../b""#), id, "has the segment `..`"),
        ("wildcard", http(r#"get: "/a/*""#), id, "has the segment `*`"),
        ("wildcards", http(r#"get: "/a/**""#), id, "has the segment `**`"),
        ("verb", http(r#"get: "/a:do""#), id, "has the segment `a:do`"),
        ("query", http(r#"get: "/a?b=c""#), id, "has the segment `a?b=c`"),
        ("sub-template", http(r#"get: "/{id=b/*}""#), id, "has the segment `{id=b`"),
        (
            "nested variable",
            http(r#"get: "/{id.x}""#),
            id,
            "only the name of a top-level field",
        ),
        ("unclosed", http(r#"get: "/{id""#), id, "has the segment `{id`"),
        (
            "unknown variable",
            http(r#"get: "/{who}""#),
            id,
            "`who`, which the request does not",
        ),
        ("variable twice", http(r#"get: "/{id}/{id}""#), id, "binds `{id}` twice"),
        (
            "list in path",
            http(r#"get: "/{id}""#),
            "repeated string id = 1;",
            "must be a single",
        ),
        (
            "message in path",
            http(r#"get: "/{id}""#),
            "google.protobuf.Timestamp id = 1;",
            "must be a single",
        ),
        (
            "unknown body",
            http(r#"post: "/a" body: "b""#),
            id,
            "`b`, which the request does not",
        ),
        (
            "body in path",
            http(r#"post: "/{id}" body: "id""#),
            id,
            "by the path and the body",
        ),
        ("get with body", http(r#"get: "/a" body: "*""#), id, "a GET has no body"),
        (
            "delete with body",
            http(r#"delete: "/a" body: "*""#),
            id,
            "a DELETE has no body",
        ),
        (
            "message in query",
            http(r#"get: "/a""#),
            "google.protobuf.Struct id = 1;",
            "cannot go into the query",
        ),
        ("map", http(r#"get: "/a""#), "map<string, string> id = 1;", "is a map"),
        ("enum", http(r#"get: "/a""#), "enum E { X = 0; } E id = 1;", "is an enum"),
        (
            "duration",
            http(r#"post: "/a" body: "*""#),
            "google.protobuf.Duration id = 1;",
            "is a google.protobuf.Duration",
        ),
        (
            "string rule on a number",
            http(r#"get: "/a""#),
            "int32 id = 1 [(buf.validate.field).string.uuid = true];",
            "has rules for a string and is none",
        ),
        (
            "pattern",
            http(r#"get: "/a""#),
            r#"string id = 1 [(buf.validate.field).string.pattern = "("];"#,
            "does not compile",
        ),
        (
            "one key twice",
            http(r#"get: "/a""#),
            r#"string an_id = 1; string other = 2 [json_name = "an_id"];"#,
            "two fields with the key `an_id`",
        ),
    ];
    for (case, rule, fields, expected) in cases {
        let message = rejection(&rpc(&rule, fields));
        assert!(message.starts_with("test.S.Do: "), "{case}: {message}");
        assert!(message.contains(expected), "{case}: {message}");
    }
}

/// Declares an RPC that streams a `Response` with these fields.
fn streaming(rule: &str, fields: &str) -> String {
    format!(
        "service S {{ rpc Do(Request) returns (stream Response) {{ {} }} }}
        message Request {{}}
        message Response {{ {fields} }}
        message Item {{ string id = 1; }}",
        http(rule)
    )
}

#[test]
fn stream_has_the_elements_of_a_list_as_its_messages() {
    let contract =
        compile(&streaming(r#"get: "/a""#, r#"Item item = 3 [json_name = "data"];"#))
            .unwrap();
    let rpc = contract.rpc("/test.S/Do").unwrap();
    assert!(rpc.is_streaming);
    assert_eq!(rpc.to_string(), "test.S/Do GET /a body=- stream=data");
    let [list] = &rpc.response.root().fields[..] else { panic!("not one field") };
    assert!(list.repeated);
    assert_eq!((&*list.key, list.number, list.kind), ("data", 3, Kind::Message(1)));
}

#[test]
fn list_knows_the_rpc_that_streams_it() {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let streams: Vec<_> = contract.rpcs().map(|rpc| rpc.stream.as_deref()).collect();
    assert_eq!(streams, [None, Some("StreamPartnerSharedConnections"), None]);
}

#[test]
fn streams_that_rest_does_not_have_are_rejected() {
    let get = r#"get: "/a""#;
    for (case, rule, fields, expected) in [
        ("no GET", r#"post: "/a""#, "Item item = 1;", "response to a POST; only a GET"),
        ("no field", get, "", "streams test.Response, which has 0 fields; declare one"),
        ("two fields", get, "Item a = 1; Item b = 2;", "which has 2 fields"),
        ("list", get, "repeated Item item = 1;", "`item` is repeated; each message has"),
        ("string", get, "string item = 1;", "whose field `item` is no message"),
        ("struct", get, "google.protobuf.Struct item = 1;", "is no message"),
        ("itself", get, "Response item = 1;", "which contains itself"),
    ] {
        let message = rejection(&streaming(rule, fields));
        assert!(message.starts_with("test.S.Do: streams "), "{case}: {message}");
        assert!(message.contains(expected), "{case}: {message}");
    }
}

#[test]
fn stream_of_requests_is_rejected() {
    for output in ["Response", "stream Response"] {
        let message = rejection(&format!(
            "service S {{ rpc Do(stream Request) returns ({output}) {{ {} }} }}
            message Request {{}}
            message Response {{ Request item = 1; }}",
            http(r#"get: "/a""#)
        ));
        assert!(message.starts_with("test.S.Do: takes a stream"), "{message}");
    }
}

#[test]
fn descriptor_set_without_rpcs_is_rejected() {
    assert!(rejection("message Lonely {}").contains("has no RPC"));
    assert!(matches!(Contract::compile(b"\xff"), Err(Error::Descriptors(_))));
}
