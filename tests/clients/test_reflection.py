"""What clients learn of the gateway without a copy of the .proto files."""

import json

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from clients import install_node, run_or_fail
from contract import SERVICE

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    SERVICE,
]

RPCS = [
    "CreatePartnerSharedConnection",
    "ListPartnerSharedConnections",
    "StreamPartnerSharedConnections",
]


def test_all_services_are_listed(address):
    listed = run_or_fail("grpcurl", "-plaintext", address, "list").split()

    assert listed == SERVICES


def test_all_rpcs_are_listed(address):
    listed = run_or_fail("grpcurl", "-plaintext", address, "list", SERVICE).split()

    assert listed == [f"{SERVICE}.{rpc}" for rpc in RPCS]


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


def test_all_states_are_listed(address):
    listed = run_or_fail("grpcurl", "-plaintext", address, "grpc.health.v1.Health/List")

    serving = {"status": "SERVING"}
    assert json.loads(listed) == {"statuses": {"": serving, SERVICE: serving}}


def test_node_loads_the_service_by_one_symbol(address):
    program = install_node() / "reflection.js"

    printed = json.loads(run_or_fail("node", program, address, SERVICE))

    assert sorted(printed["services"]) == SERVICES
    assert sorted(printed["rpcs"]) == RPCS


def test_python_finds_services_and_extensions(address):
    options = "google.protobuf.MethodOptions"
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)

        service = pool.FindServiceByName(SERVICE)
        numbers = database.FindAllExtensionNumbers(options)
        with pytest.raises(KeyError):
            database.FindFileByName("nope.proto")

    assert sorted(service.methods_by_name) == RPCS
    assert list(numbers) == [51010, 72295728]
