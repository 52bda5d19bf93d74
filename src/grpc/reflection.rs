//! Server reflection, for clients without a copy of the `.proto` files.
//!
//! The messages are those of tonic-reflection, the service is not: its own sends a file
//! without the files that it imports, finds no extension, and ends the stream at a name
//! that it does not know. And all responses share the bytes of the files, so that
//! clients that do not read them cost no memory.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, future::ready};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_reflect::{DescriptorError, DescriptorPool, FileDescriptor};
use tonic::Code;
use tonic_reflection::pb::{
    v1::{
        self, ErrorResponse, ExtensionNumberResponse, ExtensionRequest,
        FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
        ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    },
    v1alpha,
};

use super::{Error, health, response};
use crate::status::Failure;

/// The paths of both versions. Each client calls one of them, and their messages are
/// the same on the wire.
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The number of `ServerReflectionResponse.file_descriptor_response`.
const FILES: u32 = 4;

/// The files that reflection serves.
#[derive(Debug, Clone)]
pub(super) struct Reflection(Arc<Files>);

#[derive(Debug)]
struct Files {
    pool: DescriptorPool,
    /// Each file of the pool, as a `FileDescriptorResponse` with only this file: several
    /// of them in a row are one response with all their files.
    encoded: Vec<Bytes>,
    /// The file of each full name, as an index.
    symbols: HashMap<String, usize>,
}

/// What a request is answered with.
enum Answer {
    Message(MessageResponse),
    /// Files, by their indices.
    Files(Vec<usize>),
}

impl Reflection {
    /// Reads `descriptor_set`, which is served with the gateway's own files.
    ///
    /// # Errors
    ///
    /// If the descriptors cannot be read.
    pub(super) fn new(descriptor_set: &[u8]) -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::new();
        for set in [
            descriptor_set,
            // Clients such as grpcurl decode the details of errors only by reflection.
            tonic_types::pb::FILE_DESCRIPTOR_SET,
            health::DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            // Of two files with the same name, the first stays.
            pool.decode_file_descriptor_set(set)?;
        }
        let encode = |file: FileDescriptor| {
            let file_descriptor_proto = vec![file.encode_to_vec()];
            FileDescriptorResponse { file_descriptor_proto }.encode_to_vec().into()
        };
        let encoded = pool.files().map(encode).collect();
        let symbols = symbols(&pool);
        Ok(Self(Arc::new(Files { pool, encoded, symbols })))
    }

    /// Reports whether reflection serves a path.
    pub(super) fn has(path: &str) -> bool {
        PATHS.contains(&path)
    }

    /// Answers the messages of one stream. Each response is a frame of gRPC, in pieces.
    pub(super) fn answer<S>(
        &self,
        messages: S,
    ) -> impl Stream<Item = Result<Vec<Bytes>, Failure>> + use<S>
    where
        S: Stream<Item = Result<Bytes, Failure>>,
    {
        let files = Arc::clone(&self.0);
        let mut sent = HashSet::new();
        messages.and_then(move |message| {
            let request = ServerReflectionRequest::decode(message)
                .map_err(|error| Error::Malformed(error.to_string()).into());
            ready(request.map(|request| {
                let answer = files.answer(&request, &mut sent);
                files.encode(request, answer)
            }))
        })
    }
}

impl Files {
    /// Returns the answer to a request. `sent` has the files that the stream has sent.
    fn answer(
        &self,
        request: &ServerReflectionRequest,
        sent: &mut HashSet<usize>,
    ) -> Answer {
        let Some(request) = &request.message_request else {
            return error(Code::InvalidArgument, "the request asks for nothing");
        };
        let (file, missing) = match request {
            MessageRequest::ListServices(_) => return self.services(),
            MessageRequest::AllExtensionNumbersOfType(name) => {
                return self.extension_numbers(name);
            }
            MessageRequest::FileByFilename(name) => {
                let file = self.pool.get_file_by_name(name);
                (file.map(|file| file.index()), "no file has this name")
            }
            MessageRequest::FileContainingSymbol(name) => {
                (self.symbols.get(name).copied(), "no symbol has this name")
            }
            MessageRequest::FileContainingExtension(extension) => (
                self.file_of_extension(extension),
                "no extension of this type has this number",
            ),
        };
        match file {
            Some(file) => Answer::Files(self.with_imports(file, sent)),
            None => error(Code::NotFound, missing),
        }
    }

    fn services(&self) -> Answer {
        let services = self.pool.services();
        let mut service: Vec<ServiceResponse> = services
            .map(|service| ServiceResponse { name: service.full_name().to_owned() })
            .collect();
        service.sort_by(|a, b| a.name.cmp(&b.name));
        let list = ListServiceResponse { service };
        Answer::Message(MessageResponse::ListServicesResponse(list))
    }

    fn extension_numbers(&self, name: &str) -> Answer {
        let Some(message) = self.pool.get_message_by_name(name) else {
            return error(Code::NotFound, "no message has this name");
        };
        let mut extension_number: Vec<i32> = message
            .extensions()
            .map(|extension| extension.number().cast_signed())
            .collect();
        extension_number.sort_unstable();
        let base_type_name = name.to_owned();
        let numbers = ExtensionNumberResponse { base_type_name, extension_number };
        Answer::Message(MessageResponse::AllExtensionNumbersResponse(numbers))
    }

    fn file_of_extension(&self, request: &ExtensionRequest) -> Option<usize> {
        let message = self.pool.get_message_by_name(&request.containing_type)?;
        let number = u32::try_from(request.extension_number).ok()?;
        Some(message.get_extension(number)?.parent_file().index())
    }

    /// Returns a file and those that it imports, directly or not, except imports that
    /// the stream has `sent`. Many clients never ask for an import.
    fn with_imports(&self, file: usize, sent: &mut HashSet<usize>) -> Vec<usize> {
        let mut files = vec![file];
        sent.insert(file);
        let mut next = 0;
        while let Some(&importer) = files.get(next) {
            let importer = FileDescriptor::new(self.pool.clone(), importer);
            let imports = importer.dependencies().map(|import| import.index());
            files.extend(imports.filter(|import| sent.insert(*import)));
            next += 1;
        }
        files
    }

    /// Returns the frame of a response, whose files are shared with other responses.
    fn encode(&self, request: ServerReflectionRequest, answer: Answer) -> Vec<Bytes> {
        let (message_response, files) = match answer {
            Answer::Message(message) => (Some(message), vec![]),
            Answer::Files(files) => (None, files),
        };
        let response = ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response,
        };
        let mut head = response.encode_to_vec();
        let files = files.into_iter().map(|file| self.encoded[file].clone());
        let files: Vec<Bytes> = files.collect();
        let length: usize = files.iter().map(Bytes::len).sum();
        if length > 0 {
            encode_key(FILES, WireType::LengthDelimited, &mut head);
            encode_varint(length as u64, &mut head);
        }
        let prefix = response::prefix(head.len() + length);
        let head = [&prefix[..], &head].concat();
        [head.into()].into_iter().chain(files).collect()
    }
}

/// Returns the file of each name that a pool declares.
fn symbols(pool: &DescriptorPool) -> HashMap<String, usize> {
    let mut symbols = HashMap::new();
    let mut add = |name: &str, file: FileDescriptor| {
        symbols.insert(name.to_owned(), file.index());
    };
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

fn error(code: Code, problem: &str) -> Answer {
    Answer::Message(MessageResponse::ErrorResponse(ErrorResponse {
        error_code: code.into(),
        error_message: problem.to_owned(),
    }))
}
