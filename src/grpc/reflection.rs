//! Server reflection, for clients without a copy of the `.proto` files.
//!
//! The messages and the server are those of tonic-reflection, the responses are not:
//! its own send a file without the files that it imports, find no extension, and end the
//! stream at a name that they do not know.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
};

use futures_util::{Stream, StreamExt};
use http::Uri;
use prost_reflect::{DescriptorError, DescriptorPool, FileDescriptor};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::{
    v1::{
        self, ErrorResponse, ExtensionNumberResponse, ExtensionRequest,
        FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
        ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
        server_reflection_server::{ServerReflection, ServerReflectionServer},
    },
    v1alpha,
};

use super::health;

/// The only RPC of each version.
const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Turns a request for v1alpha into one for v1, whose messages are the same on the
/// wire. Each client calls one of them.
pub(super) fn as_v1<B>(mut request: http::Request<B>) -> http::Request<B> {
    if request.uri().path() == V1ALPHA {
        *request.uri_mut() = Uri::from_static(V1);
    }
    request
}

/// Returns the service, which serves `descriptor_set` and the gateway's own files.
///
/// # Errors
///
/// If the descriptors cannot be read.
pub(super) fn service(
    descriptor_set: &[u8],
) -> Result<ServerReflectionServer<Service>, DescriptorError> {
    let files = Files::read(&[
        descriptor_set,
        // Clients such as grpcurl decode the details of errors only by reflection.
        tonic_types::pb::FILE_DESCRIPTOR_SET,
        health::DESCRIPTOR_SET,
        v1::FILE_DESCRIPTOR_SET,
        v1alpha::FILE_DESCRIPTOR_SET,
    ])?;
    Ok(ServerReflectionServer::new(Service(Arc::new(files))))
}

#[derive(Debug)]
pub(super) struct Service(Arc<Files>);

type Responses =
    Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ServerReflection for Service {
    type ServerReflectionInfoStream = Responses;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let files = Arc::clone(&self.0);
        let mut sent = HashSet::new();
        let responses = request.into_inner().map(move |request| {
            let request = request?;
            Ok(ServerReflectionResponse {
                valid_host: request.host.clone(),
                message_response: Some(files.respond(&request, &mut sent)),
                original_request: Some(request),
            })
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// The files that reflection serves.
#[derive(Debug)]
struct Files {
    pool: DescriptorPool,
    /// The file of each full name.
    symbols: HashMap<String, FileDescriptor>,
}

impl Files {
    /// Reads descriptor sets. Of two files with the same name, the first counts.
    fn read(sets: &[&[u8]]) -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            pool.decode_file_descriptor_set(*set)?;
        }
        let symbols = symbols(&pool);
        Ok(Self { pool, symbols })
    }

    /// Returns the response to a request. `sent` has the files that the stream has sent.
    fn respond(
        &self,
        request: &ServerReflectionRequest,
        sent: &mut HashSet<usize>,
    ) -> MessageResponse {
        let Some(request) = &request.message_request else {
            return error(Code::InvalidArgument, "the request asks for nothing");
        };
        let (found, missing) = match request {
            MessageRequest::ListServices(_) => return self.services(),
            MessageRequest::AllExtensionNumbersOfType(name) => {
                (self.extension_numbers(name), "no type has this name")
            }
            MessageRequest::FileByFilename(name) => {
                let file = self.pool.get_file_by_name(name);
                (file.map(|file| with_imports(file, sent)), "no file has this name")
            }
            MessageRequest::FileContainingSymbol(name) => {
                let file = self.symbols.get(name).cloned();
                (file.map(|file| with_imports(file, sent)), "no symbol has this name")
            }
            MessageRequest::FileContainingExtension(extension) => {
                let file = self.file_of_extension(extension);
                let missing = "no extension of this type has this number";
                (file.map(|file| with_imports(file, sent)), missing)
            }
        };
        found.unwrap_or_else(|| error(Code::NotFound, missing))
    }

    fn services(&self) -> MessageResponse {
        let services = self.pool.services();
        let mut service: Vec<ServiceResponse> = services
            .map(|service| ServiceResponse { name: service.full_name().to_owned() })
            .collect();
        service.sort_by(|a, b| a.name.cmp(&b.name));
        MessageResponse::ListServicesResponse(ListServiceResponse { service })
    }

    fn file_of_extension(&self, request: &ExtensionRequest) -> Option<FileDescriptor> {
        let message = self.pool.get_message_by_name(&request.containing_type)?;
        let number = u32::try_from(request.extension_number).ok()?;
        Some(message.get_extension(number)?.parent_file())
    }

    fn extension_numbers(&self, name: &str) -> Option<MessageResponse> {
        let message = self.pool.get_message_by_name(name)?;
        let mut extension_number: Vec<i32> = message
            .extensions()
            .map(|extension| extension.number().cast_signed())
            .collect();
        extension_number.sort_unstable();
        let base_type_name = name.to_owned();
        Some(MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
            base_type_name,
            extension_number,
        }))
    }
}

/// Returns the file of each name that a pool declares.
fn symbols(pool: &DescriptorPool) -> HashMap<String, FileDescriptor> {
    let mut symbols = HashMap::new();
    let mut add =
        |name: &str, file: FileDescriptor| symbols.insert(name.to_owned(), file);
    for message in pool.all_messages() {
        add(message.full_name(), message.parent_file());
        for field in message.fields() {
            add(field.full_name(), field.parent_file());
        }
        for oneof in message.oneofs() {
            add(oneof.full_name(), oneof.parent_file());
        }
    }
    for kind in pool.all_enums() {
        add(kind.full_name(), kind.parent_file());
        for value in kind.values() {
            add(value.full_name(), value.parent_file());
        }
    }
    for extension in pool.all_extensions() {
        add(extension.full_name(), extension.parent_file());
    }
    for service in pool.services() {
        add(service.full_name(), service.parent_file());
        for rpc in service.methods() {
            add(rpc.full_name(), rpc.parent_file());
        }
    }
    symbols
}

/// Returns a file and those that it imports, directly or not, except those that the
/// stream has `sent`. Many clients ask for no import.
fn with_imports(file: FileDescriptor, sent: &mut HashSet<usize>) -> MessageResponse {
    let mut file_descriptor_proto = vec![file.encode_to_vec()];
    sent.insert(file.index());
    let mut importers = VecDeque::from([file]);
    while let Some(importer) = importers.pop_front() {
        for import in importer.dependencies() {
            if sent.insert(import.index()) {
                file_descriptor_proto.push(import.encode_to_vec());
                importers.push_back(import);
            }
        }
    }
    MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
        file_descriptor_proto,
    })
}

fn error(code: Code, problem: &str) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: code.into(),
        error_message: problem.to_owned(),
    })
}
