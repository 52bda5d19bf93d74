"""Each client speaks TLS with the gateway, and shows it a certificate."""

import socket
import ssl

import pytest

from certificates import Authority
from clients import Call, Tls
from conftest import BINARY
from gateway import PARTNER_KEY, serving
from test_calls import DOCUMENTED, LIST, of

IDENTITY = "URI:spiffe://mesh/ns/shop/sa/orders"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """The authority of the gateway, that of its clients, and one that it does not know."""
    directory = tmp_path_factory.mktemp("certificates")
    return [Authority(directory, name) for name in ("gateway", "clients", "foreign")]


@pytest.fixture(scope="module")
def mutual(authorities):
    """The address of a gateway that requires certificates of its clients."""
    server, clients, _ = authorities
    own = server.issue("IP:127.0.0.1")
    with serving(BINARY, *flags(own), "--tls-client-ca-file", clients.certificate) as address:
        yield address


def flags(own):
    shown = ("--tls-certificate-file", own.certificate, "--tls-key-file", own.key)
    return ("--sandbox", *shown)


def list_with(client, address, tls):
    metadata = {"authorization": f"Bearer {PARTNER_KEY}"}
    return client(address, Call(LIST, of(DOCUMENTED), metadata, tls))


def test_client_with_a_certificate_is_served(client, mutual, authorities):
    server, clients, _ = authorities
    outcome = list_with(client, mutual, clients.issue(IDENTITY).of_client(server))
    assert outcome.code == "OK"
    assert outcome.response.connections[0].id == DOCUMENTED


def test_client_without_a_certificate_is_not(client, mutual, authorities):
    outcome = list_with(client, mutual, Tls(str(authorities[0].certificate)))
    assert outcome.code == "UNAVAILABLE"


def test_client_of_a_foreign_authority_is_not(client, mutual, authorities):
    server, _, foreign = authorities
    outcome = list_with(client, mutual, foreign.issue(IDENTITY).of_client(server))
    assert outcome.code == "UNAVAILABLE"


def test_client_needs_no_certificate_if_none_is_required(client, authorities):
    server = authorities[0]
    with serving(BINARY, *flags(server.issue("IP:127.0.0.1"))) as address:
        outcome = list_with(client, address, Tls(str(server.certificate)))
    assert outcome.code == "OK"


def test_client_rejects_a_gateway_of_another_name(client, authorities):
    server = authorities[0]
    with serving(BINARY, *flags(server.issue("DNS:other.example.com"))) as address:
        outcome = list_with(client, address, Tls(str(server.certificate)))
    assert outcome.code == "UNAVAILABLE"


def spoken(address, version, ciphers=None):
    """Returns the cipher suite of a handshake, or None if it fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    # The client itself would not offer old versions and suites.
    context.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as stream:
        try:
            with context.wrap_socket(stream) as tls:
                return tls.cipher()[0]
        except (ssl.SSLError, ConnectionResetError):
            return None


def test_only_suites_with_forward_secrecy_and_authenticated_encryption(authorities):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    suites = [suite["name"] for suite in context.get_ciphers()]
    old = [name for name in suites if not name.startswith("TLS_")]
    with serving(BINARY, *flags(authorities[0].issue("IP:127.0.0.1"))) as address:
        assert spoken(address, ssl.TLSVersion.TLSv1) is None
        assert spoken(address, ssl.TLSVersion.TLSv1_1) is None
        assert spoken(address, ssl.TLSVersion.TLSv1_3).startswith("TLS_")
        tls_1_2 = ssl.TLSVersion.TLSv1_2
        found = {name for name in old if spoken(address, tls_1_2, name) is not None}
    # The certificate has an ECDSA key.
    assert found == {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
