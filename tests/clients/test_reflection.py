"""What grpcurl shows of the gateway without a copy of the .proto files."""

import json

import pytest

from clients import run_or_fail
from contract import SERVICE


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


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(address, service):
    check = run_or_fail(
        *("grpcurl", "-plaintext", "-d", json.dumps({"service": service})),
        *(address, "grpc.health.v1.Health/Check"),
    )

    assert json.loads(check) == {"status": "SERVING"}
