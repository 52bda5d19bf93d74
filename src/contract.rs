//! The table of RPCs, compiled from the `.proto` files at start-up.
//!
//! An RPC's REST form is stated once, by its `google.api.http` annotation. This
//! module turns descriptors into what serving needs: a [`Binding`], two
//! [`Schema`]s and the [`Options`] of each RPC. A `.proto` file that uses an
//! unsupported feature stops the start, so that no request can meet the mistake.

mod binding;
mod extension;
mod http_rule;
mod options;
mod pattern;
mod rules;
mod schema;
mod stream;
mod template;

use std::{fmt, sync::Arc};

use prost_reflect::{DescriptorPool, MethodDescriptor};

use self::http_rule::HttpRule;
pub(crate) use self::template::RESERVED;
pub use self::{
    binding::{Binding, Body, Parameter, Piece},
    options::{KeyClass, Link, NotFound, Options},
    pattern::Pattern,
    rules::Rules,
    schema::{Field, Kind, Message, Schema},
};

/// The descriptor set of the RPCs that this gateway serves, options included.
pub const DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The API versions that Polytomic's documentation lists, newest first. Which of them
/// have an RPC, its option says ([`Options::api_versions`]).
pub const API_VERSIONS: [&str; 5] =
    ["2025-09-18", "2024-02-08", "2023-04-25", "2022-12-12", "2021-05-23"];

/// The RPCs that the gateway serves.
#[derive(Debug)]
pub struct Contract {
    /// Sorted by path.
    rpcs: Vec<Arc<Rpc>>,
}

/// An RPC and the REST call that it stands for.
#[derive(Debug)]
pub struct Rpc {
    /// The position of the RPC in its contract, as an index of other tables.
    pub index: usize,
    /// The full name of the service, for example `package.v1.Service`.
    pub service: String,
    /// The name of the RPC within its service.
    pub name: String,
    path: String,
    /// The REST form.
    pub binding: Binding,
    /// The request message.
    pub request: Schema,
    /// The response message. For a stream: the envelope that Polytomic responds with,
    /// whose only field is the list. A message of the stream has one element of it.
    pub response: Schema,
    /// Whether the RPC responds with a stream.
    pub is_streaming: bool,
    /// The name of the RPC of the service that streams what this one responds with, if
    /// there is one.
    pub stream: Option<String>,
    /// What an error of the RPC is about, if the `.proto` file states it.
    pub resource: Option<ResourceReference>,
    /// What the `.proto` file states beyond the REST form.
    pub options: Options,
}

/// The resource that a request names: the last path variable with the annotation
/// `google.api.resource_reference`. Later variables are within earlier ones.
#[derive(Debug)]
pub struct ResourceReference {
    /// The kind of resource, for example `package.Kind`.
    pub kind: Arc<str>,
    /// The index of the request field that holds its id.
    pub field: usize,
}

/// Why a descriptor set cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not a descriptor set.
    #[error("the descriptor set cannot be read")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// The descriptor set has no RPC.
    #[error("the descriptor set has no RPC; declare one under proto/")]
    Empty,
    /// The gateway does not support the declaration of an RPC.
    #[error("{rpc}: {problem}")]
    Rpc {
        /// The full name of the RPC.
        rpc: String,
        /// The problem and how to fix it.
        problem: String,
    },
}

impl Contract {
    /// Compiles the encoded `FileDescriptorSet` of the RPCs to serve.
    ///
    /// # Errors
    ///
    /// If the gateway does not support a declaration; names the first such RPC and
    /// the fix.
    pub fn compile(descriptor_set: &[u8]) -> Result<Self, Error> {
        let pool = DescriptorPool::decode(descriptor_set)?;
        let mut rpcs = Vec::new();
        for service in pool.services() {
            for method in service.methods() {
                let rpc = Rpc::compile(&method).map_err(|problem| Error::Rpc {
                    rpc: method.full_name().to_owned(),
                    problem,
                })?;
                rpcs.push(rpc);
            }
        }
        if rpcs.is_empty() {
            return Err(Error::Empty);
        }
        rpcs.sort_by(|a, b| a.path.cmp(&b.path));
        for index in 0..rpcs.len() {
            let stream = rpcs.iter().find(|other| rpcs[index].is_streamed_by(other));
            rpcs[index].stream = stream.map(|stream| stream.name.clone());
            rpcs[index].index = index;
        }
        Ok(Self { rpcs: rpcs.into_iter().map(Arc::new).collect() })
    }

    /// Returns the RPC of a gRPC request with this path.
    #[must_use]
    pub fn rpc(&self, path: &str) -> Option<&Arc<Rpc>> {
        let index = self.rpcs.binary_search_by(|rpc| rpc.path.as_str().cmp(path)).ok()?;
        Some(&self.rpcs[index])
    }

    /// Returns the RPCs in the order of their paths.
    pub fn rpcs(&self) -> impl Iterator<Item = &Rpc> {
        self.rpcs.iter().map(AsRef::as_ref)
    }

    /// Returns the full name of each service once, sorted.
    #[must_use]
    pub fn services(&self) -> Vec<&str> {
        let mut services: Vec<&str> =
            self.rpcs().map(|rpc| rpc.service.as_str()).collect();
        services.dedup();
        services
    }
}

impl Rpc {
    fn compile(method: &MethodDescriptor) -> Result<Self, String> {
        let rule = HttpRule::read(method)?;
        let request = Schema::compile(&method.input())?;
        let response = Schema::compile(&method.output())?;
        let binding = Binding::compile(rule, &request)?;
        let response = stream::envelope(method, &binding.method, response)?;
        let service = method.parent_service().full_name().to_owned();
        let name = method.name().to_owned();
        Ok(Self {
            index: 0,
            path: format!("/{service}/{name}"),
            service,
            name,
            resource: ResourceReference::compile(&binding, &request),
            binding,
            request,
            response,
            is_streaming: method.is_server_streaming(),
            stream: None,
            options: Options::read(method)?,
        })
    }

    /// Reports whether another RPC streams the response to the same REST request.
    fn is_streamed_by(&self, other: &Self) -> bool {
        let call =
            |rpc: &Self| (rpc.binding.method.clone(), rpc.binding.template.clone());
        !self.is_streaming
            && other.is_streaming
            && self.service == other.service
            && call(self) == call(other)
    }

    /// Returns the path of the gRPC request, `/package.Service/Rpc`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl ResourceReference {
    fn compile(binding: &Binding, request: &Schema) -> Option<Self> {
        binding.path.iter().rev().find_map(|piece| {
            let Piece::Field(field) = *piece else { return None };
            let kind = request.root().fields[field].resource.as_deref()?;
            Some(Self { kind: kind.into(), field })
        })
    }
}

impl fmt::Display for Rpc {
    /// Writes the RPC's line of the golden table: its name, the HTTP method, the
    /// path template, the body rule and the key of the list that is streamed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binding = &self.binding;
        let body = match &binding.body {
            Body::None => "-",
            Body::Object(_) => "*",
            Body::Field(index) => &self.request.root().fields[*index].name,
        };
        write!(
            f,
            "{}/{} {} {} body={body}",
            self.service, self.name, binding.method, binding.template
        )?;
        if self.is_streaming {
            write!(f, " stream={}", self.response.root().fields[0].key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
