//! Server reflection, in v1 and v1alpha: each client calls one of them.

use tonic::service::RoutesBuilder;
use tonic_reflection::server::{Builder, Error};

/// Adds both versions of reflection, which serve `descriptor_set`.
///
/// # Errors
///
/// If the descriptors cannot be read.
pub(super) fn add(
    services: &mut RoutesBuilder,
    descriptor_set: &[u8],
) -> Result<(), Error> {
    services.add_service(builder(descriptor_set).build_v1()?);
    services.add_service(builder(descriptor_set).build_v1alpha()?);
    Ok(())
}

fn builder(descriptor_set: &[u8]) -> Builder<'_> {
    Builder::configure()
        .register_encoded_file_descriptor_set(descriptor_set)
        // Clients such as grpcurl decode error details only if reflection also serves
        // google.rpc.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
