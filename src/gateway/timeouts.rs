//! The timeouts of RPCs: one for all, which an operator may replace for single RPCs.

use std::time::Duration;

use crate::contract::{Contract, Rpc};

/// Longer than any RPC takes, and short enough to be added to a moment.
const UNLIMITED: Duration = Duration::from_secs(365 * 24 * 3600);

/// Maximum times of RPCs, which are also their deadlines if clients set none.
#[derive(Debug, Clone)]
pub struct Timeouts {
    all: Duration,
    /// By the index of an RPC. An RPC beyond the end has the timeout of all.
    own: Vec<Option<Duration>>,
}

impl Timeouts {
    /// Returns the same timeout for all RPCs.
    #[must_use]
    pub fn new(all: Duration) -> Self {
        Self { all, own: Vec::new() }
    }

    /// Replaces the timeout of one RPC, whose name is `Rpc` or `package.Service/Rpc`.
    ///
    /// # Errors
    ///
    /// If the contract has no such RPC or several, or if its timeout has been replaced
    /// before. The text lists the RPCs of the contract.
    pub fn set(
        &mut self,
        contract: &Contract,
        name: &str,
        timeout: Duration,
    ) -> Result<(), String> {
        let called: Vec<_> =
            contract.rpcs().filter(|rpc| name == rpc.name || name == full(rpc)).collect();
        let rpc = match called[..] {
            [rpc] => rpc,
            [] => {
                let all: Vec<_> =
                    contract.rpcs().map(|rpc| short(contract, rpc)).collect();
                return Err(format!(
                    "there is no RPC {name:?}; use one of {}",
                    all.join(", ")
                ));
            }
            _ => {
                let all: Vec<_> = called.into_iter().map(full).collect();
                return Err(format!("{name} is ambiguous; use {}", all.join(" or ")));
            }
        };
        self.own.resize(self.own.len().max(rpc.index + 1), None);
        if self.own[rpc.index].replace(timeout).is_some() {
            return Err(format!("{} is given twice; remove one", short(contract, rpc)));
        }
        Ok(())
    }

    /// Returns the maximum time of an RPC. Of a stream, the maximum time until its first
    /// message.
    pub(super) fn of(&self, rpc: &Rpc) -> Duration {
        self.own_of(rpc).unwrap_or(self.all)
    }

    /// Returns the maximum time of a whole stream, which may be as long as it makes
    /// progress unless the operator has set a time for it.
    pub(super) fn of_stream(&self, rpc: &Rpc) -> Duration {
        self.own_of(rpc).unwrap_or(UNLIMITED)
    }

    fn own_of(&self, rpc: &Rpc) -> Option<Duration> {
        self.own.get(rpc.index).copied().flatten()
    }
}

fn full(rpc: &Rpc) -> String {
    format!("{}/{}", rpc.service, rpc.name)
}

/// Returns the shortest name that no other RPC has.
fn short(contract: &Contract, rpc: &Rpc) -> String {
    let is_alone = contract.rpcs().filter(|other| other.name == rpc.name).count() == 1;
    if is_alone { rpc.name.clone() } else { full(rpc) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use protox::{
        Compiler,
        file::{ChainFileResolver, File, FileResolver, IncludeFileResolver},
    };

    use super::*;

    const TWINS: &str = r#"
        syntax = "proto3";
        package test;
        import "google/api/annotations.proto";
        message Nothing {}
        service A {
          rpc Both(Nothing) returns (Nothing) { option (google.api.http) = {get: "/a"}; }
          rpc Only(Nothing) returns (Nothing) { option (google.api.http) = {get: "/b"}; }
        }
        service B {
          rpc Both(Nothing) returns (Nothing) { option (google.api.http) = {get: "/c"}; }
        }"#;

    const ALL: Duration = Duration::from_secs(30);
    const OWN: Duration = Duration::from_secs(5);

    struct Twins;

    impl FileResolver for Twins {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == "twins.proto" {
                return File::from_source(name, TWINS);
            }
            Err(protox::Error::file_not_found(name))
        }
    }

    fn contract() -> Contract {
        let mut resolver = ChainFileResolver::new();
        resolver.add(Twins);
        resolver.add(IncludeFileResolver::new("proto".into()));
        resolver.add(protox::file::GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file("twins.proto").unwrap();
        Contract::compile(&compiler.encode_file_descriptor_set()).unwrap()
    }

    fn set(names: &[&str]) -> Result<Vec<Duration>, String> {
        let contract = contract();
        let mut timeouts = Timeouts::new(ALL);
        for name in names {
            timeouts.set(&contract, name, OWN)?;
        }
        Ok(contract.rpcs().map(|rpc| timeouts.of(rpc)).collect())
    }

    #[test]
    fn replaced_timeout_is_that_of_its_rpc_only() {
        assert_eq!(set(&[]), Ok(vec![ALL, ALL, ALL]));
        assert_eq!(set(&["Only"]), Ok(vec![ALL, OWN, ALL]));
        assert_eq!(set(&["test.A/Only"]), Ok(vec![ALL, OWN, ALL]));
        assert_eq!(set(&["test.B/Both", "Only"]), Ok(vec![ALL, OWN, OWN]));
    }

    #[test]
    fn whole_stream_has_the_timeout_of_its_rpc_or_none() {
        let contract = contract();
        let mut timeouts = Timeouts::new(ALL);
        timeouts.set(&contract, "Only", OWN).unwrap();
        let of_stream = |rpc| timeouts.of_stream(rpc);
        let found: Vec<_> = contract.rpcs().map(of_stream).collect();
        assert_eq!(found, [UNLIMITED, OWN, UNLIMITED]);
    }

    #[test]
    fn unknown_and_ambiguous_names_are_rejected_with_the_choices() {
        let all = "test.A/Both, Only, test.B/Both";
        assert_eq!(
            set(&["Nope"]),
            Err(format!("there is no RPC \"Nope\"; use one of {all}"))
        );
        assert!(set(&[""]).is_err());
        assert!(set(&["A/Only"]).is_err());
        let both = "Both is ambiguous; use test.A/Both or test.B/Both";
        assert_eq!(set(&["Both"]), Err(both.to_owned()));
        assert_eq!(
            set(&["Only", "test.A/Only"]),
            Err("Only is given twice; remove one".to_owned())
        );
    }
}
