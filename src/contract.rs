//! The table of RPCs, compiled from the `.proto` files at start-up.
//!
//! An RPC's REST form is stated once, by its `google.api.http` annotation. This
//! room turns the descriptors into what serving needs (a [`Binding`] and two
//! [`Schema`]s an RPC) and refuses whatever it would not follow to the letter,
//! so that a mistake in a `.proto` is found before the first call.

mod annotations;
mod binding;
mod schema;
mod template;

use std::{collections::BTreeMap, fmt, sync::Arc};

use prost_reflect::{DescriptorPool, MethodDescriptor};

pub use self::{
    binding::{Binding, Body, Place},
    schema::{Field, Kind, Message, Rules, Schema},
    template::{Segment, Template},
};

/// The descriptor set of the RPCs that this gateway serves, options included.
pub const DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The API versions that Polytomic's documentation names, newest first.
pub const API_VERSIONS: [&str; 5] =
    ["2025-09-18", "2024-02-08", "2023-04-25", "2022-12-12", "2021-05-23"];

/// Every RPC that is served, by the path of its gRPC request.
#[derive(Debug)]
pub struct Contract {
    rpcs: BTreeMap<String, Arc<Rpc>>,
}

/// One RPC and the REST call that it stands for.
#[derive(Debug)]
pub struct Rpc {
    /// The full name of the service, for example `package.v1.Service`.
    pub service: String,
    /// The name of the RPC within its service.
    pub name: String,
    /// The REST form.
    pub binding: Binding,
    /// The request message.
    pub request: Schema,
    /// The response message.
    pub response: Schema,
    /// The page that documents the REST call: the first link in the comment on
    /// the RPC.
    pub page: Option<String>,
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
    /// An RPC cannot be served as it is declared.
    #[error("{rpc}: {problem}")]
    Rpc {
        /// The full name of the RPC.
        rpc: String,
        /// What is wrong with it and how to mend it.
        problem: String,
    },
}

impl Contract {
    /// Compiles the encoded `FileDescriptorSet` of the RPCs to serve.
    ///
    /// # Errors
    ///
    /// Names the first RPC that cannot be served as it is declared, and says
    /// how to mend it.
    pub fn compile(descriptor_set: &[u8]) -> Result<Self, Error> {
        let pool = DescriptorPool::decode(descriptor_set)?;
        let mut rpcs = BTreeMap::new();
        for service in pool.services() {
            for method in service.methods() {
                let rpc = Rpc::compile(&method).map_err(|problem| Error::Rpc {
                    rpc: method.full_name().to_owned(),
                    problem,
                })?;
                rpcs.insert(rpc.path(), Arc::new(rpc));
            }
        }
        if rpcs.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self { rpcs })
    }

    /// Returns the RPC that a gRPC request with this path calls.
    #[must_use]
    pub fn rpc(&self, path: &str) -> Option<&Arc<Rpc>> {
        self.rpcs.get(path)
    }

    /// Returns every RPC, in the order of their paths.
    pub fn rpcs(&self) -> impl Iterator<Item = &Rpc> {
        self.rpcs.values().map(AsRef::as_ref)
    }

    /// Returns the full name of every service, sorted, each once.
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
        if method.is_client_streaming() || method.is_server_streaming() {
            return Err(
                "streams, but REST has one request and one response; remove `stream` \
                        from its declaration"
                    .to_owned(),
            );
        }
        let rule = annotations::http_rule(method)?;
        let request = Schema::compile(&method.input())?;
        let response = Schema::compile(&method.output())?;
        Ok(Self {
            service: method.parent_service().full_name().to_owned(),
            name: method.name().to_owned(),
            binding: Binding::compile(&rule, &request)?,
            request,
            response,
            page: annotations::page(method),
        })
    }

    /// Returns the path of the gRPC request, `/package.Service/Rpc`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{}/{}", self.service, self.name)
    }
}

impl fmt::Display for Rpc {
    /// Writes the RPC's line in the golden table: its name, the HTTP method,
    /// the path template and the body rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.service, self.name, self.binding)
    }
}

#[cfg(test)]
mod tests;
