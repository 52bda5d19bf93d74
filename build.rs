//! Compiles `proto/` without `protoc`: the descriptor set that the gateway
//! runs on, and the Rust messages and client for those who call it.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use protox::Compiler;
use tonic_prost_build::configure;

const ROOT: &str = "proto";

/// What is served: every file below this folder.
const SERVED: &str = "proto/polytomic";

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts in variables"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = Compiler::new([ROOT])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(protos(Path::new(SERVED))?)?;

    // Encoded by protox itself: a round trip through prost-types would drop
    // every option that is an extension, `google.api.http` first of all.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    // The annotations are for the gateway, which reads them from the set above.
    let mut files = compiler.file_descriptor_set();
    files.file.retain(|file| !["google.api", "buf.validate"].contains(&file.package()));
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
