"""Each client gets the same outcome, in every language."""

import uuid

import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    Help,
    QuotaFailure,
    RequestInfo,
    ResourceInfo,
    RetryInfo,
)

from clients import Call
from conftest import BINARY
from contract import messages
from gateway import PARTNER_KEY, USER_KEY, serving

LIST = "ListPartnerSharedConnections"
CREATE = "CreatePartnerSharedConnection"

# The sandbox's seed.
DOCUMENTED = "248df4b7-aa70-47b8-a036-33ac447e668d"
UNSHARED_CONNECTION = "1d6f0b7a-52c8-4f93-9e0b-48a7c3d2f105"
CHILD_ORGANIZATION = "c2f39b18-0a64-4d7c-b1e9-5d8c6e7f4d03"
UNKNOWN = "9d3c1f0e-5b7a-4c2d-8e6f-1a0b2c3d4e5f"


def of(connection_id, **fields):
    """A request about a connection of the partner's own organization."""
    return {"org_id": DOCUMENTED, "connection_id": connection_id, **fields}


# How the sandbox fails for a connection whose id ends in these digits: with that
# HTTP status, or, below 300, with a failure of the exchange itself.
FAILURES = {
    "002": ("UNAVAILABLE", "UPSTREAM_RESET", {RequestInfo}),
    "003": ("UNAVAILABLE", "UPSTREAM_RESET", {RequestInfo}),
    "200": ("INTERNAL", "UPSTREAM_BAD_RESPONSE", {RequestInfo}),
    "302": ("INTERNAL", "UPSTREAM_REDIRECT", {RequestInfo}),
    "400": ("INVALID_ARGUMENT", "UPSTREAM_INVALID_REQUEST", {RequestInfo, Help}),
    "403": ("PERMISSION_DENIED", "UPSTREAM_FORBIDDEN", {RequestInfo, Help}),
    "404": ("NOT_FOUND", "UPSTREAM_NOT_FOUND", {RequestInfo, ResourceInfo, Help}),
    "409": ("ABORTED", "UPSTREAM_CONFLICT", {RequestInfo}),
    "422": ("INVALID_ARGUMENT", "UPSTREAM_INVALID_REQUEST", {RequestInfo, Help}),
    "429": ("RESOURCE_EXHAUSTED", "UPSTREAM_RATE_LIMITED", {QuotaFailure, RetryInfo}),
    "500": ("INTERNAL", "UPSTREAM_ERROR", {RequestInfo}),
    "502": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE", {RequestInfo}),
    "503": ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE", {RequestInfo, RetryInfo}),
    "504": ("DEADLINE_EXCEEDED", "UPSTREAM_TIMEOUT", {RequestInfo}),
}


def failing(digits):
    """The id of a connection that fails as FAILURES says."""
    return f"00000000-0000-4000-8000-000000000{digits}"


# The response on Polytomic's page, in protobuf's JSON form, with the fields that are
# newer than the page.
DOCUMENTED_ANSWER = {
    "apiCallsLast24Hours": "2021",
    "configuration": {
        "database": "example",
        "hostname": "postgres.example.com",
        "password": "********",
        "port": 5432,
        "username": "user",
    },
    "createdAt": "2024-01-15T09:30:00Z",
    "createdBy": {
        "id": "12345678-1234-1234-1234-123456789012",
        "name": "John Doe",
        "type": "user",
    },
    "id": DOCUMENTED,
    "name": "My Postgres Connection",
    "organizationId": DOCUMENTED,
    "parentConnectionId": DOCUMENTED,
    "policies": [DOCUMENTED],
    "rateLimit": {"currentlyLimited": False},
    "saved": True,
    "status": "healthy",
    "statusError": "error message",
    "type": {
        "id": "postgresql",
        "logoDarkUrl": "https://connect-assets.polytomic.com/logos/postgresql-dark.svg",
        "logoUrl": "https://connect-assets.polytomic.com/logos/postgresql.svg",
        "name": "PostgreSQL",
        "operations": ["bulksyncsource"],
    },
    "updatedAt": "2024-01-15T09:30:00Z",
    "updatedBy": {
        "id": "12345678-1234-1234-1234-123456789012",
        "name": "John Doe",
        "type": "user",
    },
}


def test_list_is_the_documented_response(call):
    outcome = call(LIST, of(DOCUMENTED))

    expected = json_format.ParseDict(
        {"data": [DOCUMENTED_ANSWER]}, messages.ListPartnerSharedConnectionsResponse()
    )
    assert outcome.response == expected


def test_retried_create_with_its_idempotency_key_makes_one_share(call):
    name = f"Orders {uuid.uuid4()}"
    request = of(UNSHARED_CONNECTION, child_organization_id=CHILD_ORGANIZATION, name=name)
    metadata = {
        "authorization": f"Bearer {PARTNER_KEY}",
        "idempotency-key": str(uuid.uuid4()),
    }

    first = call(CREATE, request, metadata).response.connection.id
    second = call(CREATE, request, metadata).response.connection.id

    assert first and first == second
    shared = call(LIST, of(UNSHARED_CONNECTION)).response.connections
    [copy] = [connection for connection in shared if connection.name == name]
    assert copy.id == first
    assert copy.organization_id == CHILD_ORGANIZATION
    assert copy.parent_connection_id == UNSHARED_CONNECTION


def test_create_without_a_name_takes_the_name_of_the_parent(call):
    request = of(UNSHARED_CONNECTION, child_organization_id=CHILD_ORGANIZATION)

    created = call(CREATE, request).response.connection.id

    shared = call(LIST, of(UNSHARED_CONNECTION)).response.connections
    assert [copy.name for copy in shared if copy.id == created] == ["Orders Database"]


def test_rpc_without_credentials_is_unauthenticated(call):
    outcome = call(LIST, of(DOCUMENTED), metadata={})

    assert outcome.code == "UNAUTHENTICATED"
    assert "authorization" in outcome.status.message
    assert outcome.detail(ErrorInfo).reason == "CREDENTIALS_MISSING"


def test_unknown_key_is_unauthenticated(call):
    outcome = call(LIST, of(DOCUMENTED), {"authorization": "Bearer nobody-knows-it"})

    assert outcome.code == "UNAUTHENTICATED"
    assert outcome.detail(ErrorInfo).reason == "CALLER_CREDENTIALS_REJECTED"


def test_key_of_a_user_is_rejected(call):
    outcome = call(LIST, of(DOCUMENTED), {"authorization": f"Bearer {USER_KEY}"})

    assert outcome.code == "PERMISSION_DENIED"
    assert outcome.detail(ErrorInfo).reason == "PARTNER_KEY_REQUIRED"


@pytest.mark.parametrize("rpc", [LIST, CREATE])
def test_unknown_connection_is_not_found(call, rpc):
    fields = {"child_organization_id": CHILD_ORGANIZATION} if rpc == CREATE else {}

    outcome = call(rpc, of(UNKNOWN, **fields))

    assert outcome.code == "NOT_FOUND"
    assert outcome.detail(ErrorInfo).domain
    assert outcome.detail(RequestInfo).request_id
    assert outcome.detail(ResourceInfo).resource_name == UNKNOWN


def test_all_invalid_fields_are_returned_together(call):
    outcome = call(CREATE, {"org_id": "..", "connection_id": "{}", "name": ""})

    assert outcome.code == "INVALID_ARGUMENT"
    violations = outcome.detail(BadRequest).field_violations
    assert {violation.field for violation in violations} == {
        "org_id",
        "connection_id",
        "child_organization_id",
        "name",
    }


@pytest.mark.parametrize("digits", FAILURES)
def test_failure_of_polytomic_has_its_code_reason_and_details(call, digits):
    code, reason, details = FAILURES[digits]

    outcome = call(LIST, of(failing(digits)))

    assert outcome.code == code
    assert outcome.status.message
    assert outcome.detail(ErrorInfo).reason == reason
    for detail in details:
        assert outcome.detail(detail).ByteSize() > 0


def test_unauthorized_rpc_rejects_no_valid_key(client):
    metadata = {"authorization": f"Bearer {PARTNER_KEY}"}

    with serving(BINARY) as address:
        rejected = client(address, Call(LIST, of(failing("401")), metadata))
        again = client(address, Call(LIST, of(DOCUMENTED), metadata))

    assert_rejected(rejected, "REJECTED")
    assert again.code == "OK"


def test_unknown_key_is_rejected_before_it_is_used(client):
    metadata = {"authorization": "Bearer nobody-has-this-key"}

    # A separate gateway, since it remembers a rejected key for some seconds.
    with serving(BINARY) as address:
        for _ in range(2):
            assert_rejected(client(address, Call(LIST, of(DOCUMENTED), metadata)), "NOT_SENT")


def assert_rejected(outcome, what_became_of_it):
    assert outcome.code == "UNAUTHENTICATED"
    error = outcome.detail(ErrorInfo)
    assert error.reason == "CALLER_CREDENTIALS_REJECTED"
    assert error.metadata["outcome"] == what_became_of_it
