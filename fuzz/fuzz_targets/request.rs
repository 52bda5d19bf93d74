//! Any bytes as a request message: rejected, or a request that stays on its path.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polytomic_gateway::{
    contract::{Contract, DESCRIPTOR_SET},
    transcode,
};

static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| Contract::compile(DESCRIPTOR_SET).expect("the contract compiles"));

fuzz_target!(|message: &[u8]| {
    for rpc in CONTRACT.rpcs() {
        let Ok(request) = transcode::request(rpc, message) else { continue };
        let segments: Vec<&str> = request.path_and_query.split('/').collect();
        let ["", "api", "organizations", org, "connections", connection, "shared"] =
            segments[..]
        else {
            panic!("another path: {}", request.path_and_query);
        };
        for id in [org, connection] {
            assert_eq!(id.len(), 36);
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
            assert!(!id.bytes().any(|byte| byte.is_ascii_uppercase()), "{id}");
        }
        if let Some(body) = request.body {
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let fields = body.as_object().expect("an object");
            assert!(fields.contains_key("child_organization_id"));
            assert!(fields.keys().all(|key| !["org_id", "connection_id"].contains(&&**key)));
        }
    }
});
