"""Makes one call with grpcio and code generated from proto/.

    python client.py ADDRESS < call.json

The call is {"rpc", "request", "metadata", "tls"}; the last is null or the paths {"ca",
"certificate", "key"} of PEM files, of which the last two may be null. Prints {"response"}, or the
google.rpc.Status of the failure, in the JSON form of protobuf. Of a stream, prints
{"received", "first", "last"}: how many connections, and the ids of two.
"""

import json
import sys
from pathlib import Path

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2  # noqa: F401  Details are decoded by name.
from grpc_status import rpc_status
from polytomic.connections.v1 import partner_shared_connections_service_pb2 as messages
from polytomic.connections.v1 import partner_shared_connections_service_pb2_grpc as service

call = json.load(sys.stdin)
request = getattr(messages, call["rpc"] + "Request")()
json_format.ParseDict(call["request"], request)


def receive(stream):
    """Counts the messages of a stream."""
    received, first, last = 0, "", ""
    for message in stream:
        received, last = received + 1, message.connection.id
        first = first or last
    return {"received": received, "first": first, "last": last}


def open_channel(address, tls):
    if tls is None:
        return grpc.insecure_channel(address)
    files = (tls["ca"], tls["key"], tls["certificate"])
    contents = [Path(file).read_bytes() if file else None for file in files]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*contents))


with open_channel(sys.argv[1], call.get("tls")) as channel:
    stub = service.PartnerSharedConnectionsServiceStub(channel)
    try:
        response = getattr(stub, call["rpc"])(
            request, metadata=list(call["metadata"].items()), timeout=call.get("timeout", 20)
        )
        if call["rpc"].startswith("Stream"):
            outcome = receive(response)
        else:
            outcome = {"response": json_format.MessageToDict(response)}
    except grpc.RpcError as error:
        code, message = error.code().value[0], error.details()
        outcome = {"code": code, "message": message}
        status = rpc_status.from_call(error)  # None without details
        if status is not None:
            outcome = json_format.MessageToDict(status)

print(json.dumps(outcome))
