"""What clients learn of the gateway without a copy of the .proto files."""

import json

import pytest

from clients import node_directory, run_or_fail
from contract import SERVICE, messages


def test_all_services_are_listed(address):
    listed = run_or_fail("grpcurl", "-plaintext", address, "list").split()

    assert SERVICE in listed
    assert "grpc.health.v1.Health" in listed
    assert "grpc.reflection.v1.ServerReflection" in listed


def test_all_rpcs_are_listed(address):
    listed = run_or_fail("grpcurl", "-plaintext", address, "list", SERVICE).split()

    assert listed == [
        f"{SERVICE}.CreatePartnerSharedConnection",
        f"{SERVICE}.ListPartnerSharedConnections",
    ]


def test_rpc_has_its_comment_and_its_rest_form(address):
    rpc = f"{SERVICE}.CreatePartnerSharedConnection"

    described = run_or_fail("grpcurl", "-plaintext", address, "describe", rpc)

    assert "// Shares a connection with another organization" in described
    assert "(.google.api.http)" in described
    assert "/api/organizations/{org_id}/connections/{connection_id}/shared" in described


def test_service_loads_in_a_client_that_needs_all_imports_at_once(address):
    # grpc-reflection-js reads the first response, and no other, of each stream.
    script = node_directory() / "reflection.js"

    loaded = json.loads(run_or_fail("node", script, address, SERVICE, timeout=20))

    assert SERVICE in loaded["services"]
    rpcs = messages.DESCRIPTOR.services_by_name[SERVICE.rpartition(".")[2]].methods
    fields = {rpc.name: [field.name for field in rpc.input_type.fields] for rpc in rpcs}
    assert loaded["rpcs"] == fields


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(address, service):
    check = run_or_fail(
        *("grpcurl", "-plaintext", "-d", json.dumps({"service": service})),
        *(address, "grpc.health.v1.Health/Check"),
    )

    assert json.loads(check) == {"status": "SERVING"}
