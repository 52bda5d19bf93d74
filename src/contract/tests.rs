#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

#[test]
fn the_embedded_descriptors_compile() {
    let contract = Contract::compile(DESCRIPTOR_SET).unwrap();
    let list = contract
        .rpc("/polytomic.connections.v1.PartnerSharedConnectionsService/ListPartnerSharedConnections")
        .unwrap();
    assert_eq!(list.response.root().fields[0].key, "data");
}
