"""One gateway for the whole run, and each client in turn against it."""

import os
from pathlib import Path

import pytest

from clients import READY, Call
from contract import ROOT
from gateway import PARTNER_KEY, serving

# Another server may stand in for the gateway while a check is being written.
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
    """Makes a call with the partner's key, unless other metadata are given."""

    def call(rpc, request, metadata=None):
        if metadata is None:
            metadata = {"authorization": f"Bearer {PARTNER_KEY}"}
        return client(address, Call(rpc, request, metadata))

    return call
