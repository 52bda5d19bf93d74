"""Makes creates with grpcio, for tests/mesh, as many at a time as it reads.

    python mesh.py SERVICE_CONFIG

Each line of standard input is a call, each line of the output its outcome, in JSON:
{"number", "address", "retries", "request", "metadata", "seconds"} and
{"number", "code", "message", "share", "metadata", "details"}.
"""

import base64
import json
import sys
import threading
from functools import cache, partial
from pathlib import Path

import grpc
from google.protobuf import json_format
from polytomic.connections.v1 import partner_shared_connections_service_pb2 as messages
from polytomic.connections.v1 import partner_shared_connections_service_pb2_grpc as service

RETRYING = [
    ("grpc.service_config", Path(sys.argv[1]).read_text()),
    # grpcio has no hedging yet. This enables only `perAttemptRecvTimeout`.
    ("grpc.experimental.enable_hedging", 1),
]
DETAILS = "grpc-status-details-bin"

printing = threading.Lock()


@cache
def stub(address, retries):
    options = RETRYING if retries else [("grpc.enable_retries", 0)]
    return service.PartnerSharedConnectionsServiceStub(grpc.insecure_channel(address, options))


def start(job):
    """Starts a call, and prints its outcome when it ends."""
    request = json_format.ParseDict(job["request"], messages.CreatePartnerSharedConnectionRequest())
    call = stub(job["address"], job["retries"]).CreatePartnerSharedConnection.future(
        request, metadata=list(job["metadata"].items()), timeout=job["seconds"]
    )
    call.add_done_callback(partial(end, job["number"]))


def end(number, call):
    code = call.code().value[0]
    metadata = dict((*call.initial_metadata(), *call.trailing_metadata()))
    outcome = {
        "number": number,
        "code": code,
        "message": call.details(),
        "share": "" if code else call.result().connection.id,
        "details": base64.b64encode(metadata.pop(DETAILS, b"")).decode(),
        "metadata": {name: text for name, text in metadata.items() if isinstance(text, str)},
    }
    with printing:
        print(json.dumps(outcome), flush=True)


for line in sys.stdin:
    start(json.loads(line))
