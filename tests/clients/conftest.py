"""One gateway for all tests, which run with each client."""

import os
from pathlib import Path

import pytest

from clients import READY, Call
from contract import ROOT
from gateway import PARTNER_KEY, serving

# GATEWAY names another server, to try a new test against.
BINARY = Path(os.environ.get("GATEWAY", ROOT / "target/debug/polytomic-gateway"))


@pytest.fixture(scope="session")
def address():
    with serving(BINARY) as address:
        yield address


@pytest.fixture(scope="session", params=READY)
def client(request):
    return READY[request.param]()


@pytest.fixture
def call(address, client):
    """Makes a call with the partner key, unless it gets other metadata."""

    def call(rpc, request, metadata=None):
        if metadata is None:
            metadata = {"authorization": f"Bearer {PARTNER_KEY}"}
        return client(address, Call(rpc, request, metadata))

    return call
