//! Generates the messages and the server trait of `proto/` for the naive forwarder,
//! with serde on the messages of responses.

use std::{env, error::Error, path::PathBuf};

use protox::Compiler;
use tonic_prost_build::configure;

const ROOT: &str = "../proto";
const FILE: &str = "polytomic/connections/v1/partner_shared_connections_service.proto";
const PACKAGE: &str = ".polytomic.connections.v1";

/// The others declare options.
const NEEDED: [&str; 2] = ["google.protobuf", "polytomic.connections.v1"];

const RESPONSES: [&str; 7] = [
    "Actor",
    "Connection",
    "ConnectionType",
    "CreatePartnerSharedConnectionResponse",
    "ListPartnerSharedConnectionsResponse",
    "RateLimit",
    "SharedConnection",
];

/// Fields and how serde reads them.
const FIELDS: [(&str, &str); 10] = [
    ("CreatePartnerSharedConnectionResponse.connection", r#"rename = "data""#),
    ("ListPartnerSharedConnectionsResponse.connections", r#"rename = "data""#),
    ("Connection.configuration", r#"deserialize_with = "crate::json::structure""#),
    ("Connection.created_at", r#"deserialize_with = "crate::json::timestamp""#),
    ("Connection.updated_at", r#"deserialize_with = "crate::json::timestamp""#),
    ("RateLimit.expires_at", r#"deserialize_with = "crate::json::timestamp""#),
    ("RateLimit.limited_since", r#"deserialize_with = "crate::json::timestamp""#),
    ("Connection.policies", NULL_AS_EMPTY),
    ("ConnectionType.operations", NULL_AS_EMPTY),
    ("ListPartnerSharedConnectionsResponse.connections", NULL_AS_EMPTY),
];
const NULL_AS_EMPTY: &str = r#"deserialize_with = "crate::json::null_as_empty""#;

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes settings to build scripts in variables"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let mut compiler = Compiler::new([ROOT])?;
    compiler.include_imports(true).open_file(FILE)?;
    let mut files = compiler.file_descriptor_set();
    files.file.retain(|file| NEEDED.contains(&file.package()));

    let mut builder = configure()
        .build_client(false)
        .build_transport(false)
        .out_dir(PathBuf::from(env::var("OUT_DIR")?));
    for message in RESPONSES {
        builder = builder.type_attribute(
            format!("{PACKAGE}.{message}"),
            "#[derive(serde::Deserialize)] #[serde(default)]",
        );
    }
    for (field, attribute) in FIELDS {
        builder = builder.field_attribute(
            format!("{PACKAGE}.{field}"),
            format!("#[serde({attribute})]"),
        );
    }
    builder.compile_fds(files)?;
    Ok(())
}
