//! Server reflection, v1 and v1alpha: clients differ in which of them they call.

use tonic::service::RoutesBuilder;
use tonic_reflection::server::{Builder, Error};

/// Adds both versions of reflection, serving `descriptor_set` to clients.
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
        // Clients such as grpcurl decode error details only if reflection serves
        // google.rpc too.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
