"""What a client that compresses its messages gets."""

import grpc
import pytest

from contract import SERVICE, messages
from gateway import PARTNER_KEY

ID = "248df4b7-aa70-47b8-a036-33ac447e668d"


def listed(address: str, compression: grpc.Compression):
    """Lists with a channel of this compression."""
    with grpc.insecure_channel(address, compression=compression) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ListPartnerSharedConnections",
            request_serializer=messages.ListPartnerSharedConnectionsRequest.SerializeToString,
            response_deserializer=messages.ListPartnerSharedConnectionsResponse.FromString,
        )
        request = messages.ListPartnerSharedConnectionsRequest(org_id=ID, connection_id=ID)
        return call(request, metadata=[("authorization", f"Bearer {PARTNER_KEY}")], timeout=20)


def test_message_that_is_compressed_is_unimplemented(address):
    with pytest.raises(grpc.RpcError) as failure:
        listed(address, grpc.Compression.Gzip)

    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert failure.value.details() == (
        "The request message is compressed. Send it without grpc-encoding. "
        "Retrying unchanged will not help."
    )


def test_message_that_is_not_compressed_is_served(address):
    assert listed(address, grpc.Compression.NoCompression).connections
