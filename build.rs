//! Compiles `proto/` without `protoc`: into the descriptor set that the gateway
//! runs on, and into Rust messages and a client for callers.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use protox::Compiler;
use tonic_prost_build::configure;

const ROOT: &str = "proto";

/// The folder of the files to serve: all in it, at any depth.
const SERVED: &str = "proto/polytomic";

/// The file of the health service, which is no RPC of the contract.
const HEALTH: &str = "grpc/health/v1/health.proto";

/// The packages that declare options.
const ANNOTATIONS: [&str; 3] = ["buf.validate", "google.api", "polytomic.gateway.v1"];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes settings to build scripts in variables"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = Compiler::new([ROOT])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(protos(Path::new(SERVED))?)?;

    // protox encodes the set itself: a round trip through prost-types would drop
    // each option that is an extension, such as `google.api.http`.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let mut health = Compiler::new([ROOT])?;
    health.include_imports(true).include_source_info(true).open_file(HEALTH)?;
    fs::write(out.join("health.bin"), health.encode_file_descriptor_set())?;

    // The gateway reads the annotations from the set above: no code needs them.
    let mut files = compiler.file_descriptor_set();
    files.file.retain(|file| !ANNOTATIONS.contains(&file.package()));
    configure().build_server(false).out_dir(out).compile_fds(files)?;
    Ok(())
}

/// Lists the `.proto` files in a folder and the folders in it.
fn protos(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(protos(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
