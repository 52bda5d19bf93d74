"""A list that is too long for one message, in every language with a library."""

import pytest

from clients import READY, Call
from conftest import BINARY
from gateway import PARTNER_KEY, serving

LENGTH = 100_000

# The sandbox makes as many copies as the ID states.
LONG_LIST = f"00000000-0000-4000-9000-{LENGTH:012}"
COPY = "00000000-0000-4000-a000-"

# A debug build on a busy machine.
SECONDS = 300


def request(connection_id):
    return {"org_id": "248df4b7-aa70-47b8-a036-33ac447e668d", "connection_id": connection_id}


def of_partner(rpc, connection_id):
    return Call(rpc, request(connection_id), {"authorization": f"Bearer {PARTNER_KEY}"})


@pytest.mark.parametrize("name", ["python", "node", "go"])
def test_stream_of_100_000_connections_is_read_to_its_end(name):
    program = READY[name]()
    call = of_partner("StreamPartnerSharedConnections", LONG_LIST)

    with serving(BINARY) as address:
        received = program.receive(address, call, SECONDS)

    assert received == {
        "received": LENGTH,
        "first": f"{COPY}{0:012x}",
        "last": f"{COPY}{LENGTH - 1:012x}",
    }


def test_list_that_is_too_long_names_the_stream():
    program = READY["python"]()

    with serving(BINARY) as address:
        outcome = program(address, of_partner("ListPartnerSharedConnections", LONG_LIST))

    assert outcome.code == "RESOURCE_EXHAUSTED"
    assert "StreamPartnerSharedConnections" in outcome.status.message
