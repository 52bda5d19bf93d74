"""The gateways that are measured: how each is built and started."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BUILD = TARGET / "bench"


@dataclass(frozen=True)
class Upstream:
    """How a target reaches the stub."""

    port: int
    tls: bool

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Target:
    name: str
    title: str
    # The command for a port to listen on and an upstream.
    command: Callable[[int, Upstream], list]
    environment: dict[str, str] = field(default_factory=dict)


ALL = ("gateway", "envoy", "vanguard", "naive", "lean")


def gateway(
    profile: str,
    *flags,
    name: str = "gateway",
    title: str = "the gateway",
    program: Path | None = None,
) -> Target:
    """Returns the gateway as deployed: its defaults, but for some flags."""
    program = program or TARGET / profile / "polytomic-gateway"
    return Target(
        name,
        title,
        lambda port, upstream: [
            *[program, "--log-format", "json", "serve"],
            *["--listen", f"127.0.0.1:{port}", "--upstream-url", upstream.url],
            *(["--upstream-ca-file", BUILD / "ca.pem"] if upstream.tls else []),
            *flags,
        ],
        # By variable, which a gateway of an earlier commit ignores.
        {"POLYTOMIC_GATEWAY_ADMIN_LISTEN": "off"},
    )


def rust(profile: str, name: str, title: str) -> Target:
    """Returns a target of this package."""
    return Target(
        name,
        title,
        lambda port, upstream: [
            *[TARGET / profile / name, "--listen", f"127.0.0.1:{port}"],
            *["--upstream", upstream.url, "--ca-file", BUILD / "ca.pem"],
        ],
    )


def targets(profile: str) -> list[Target]:
    """Returns all targets, ours first and Envoy next; Rust ones are of a profile."""
    return [
        gateway(profile),
        Target("envoy", "Envoy 1.40", envoy),
        Target(
            "vanguard",
            "vanguard-go 0.4",
            lambda port, upstream: [
                BUILD / "vanguard",
                *["-listen", f"127.0.0.1:{port}", "-upstream", upstream.url],
                *["-ca-file", BUILD / "ca.pem", "-descriptors", BUILD / "descriptors.bin"],
            ],
            environment={"GOMAXPROCS": "1"},
        ),
        rust(profile, "naive", "naive forwarder"),
        rust(profile, "lean", "lean reference"),
    ]


def build_gateway(profile: str, *flags) -> None:
    if profile == "release":
        run([ROOT / ".ci/release", "--no-default-features", *flags])
    else:
        run(["cargo", "build", "--locked"])


def build_tools(profile: str) -> None:
    """Builds the stub, the load generator and the targets of this package."""
    BUILD.mkdir(parents=True, exist_ok=True)
    if profile == "release":
        run([ROOT / ".ci/release", "--package", "gateway-bench"])
    else:
        run(["cargo", "build", "--locked", "--package", "gateway-bench"])


def build_vanguard() -> None:
    run(["go", "build", "-o", BUILD / "vanguard", "."], cwd=ROOT / "bench/vanguard")


def run(command: list, cwd: Path = ROOT) -> None:
    subprocess.run(command, check=True, cwd=cwd)


def envoy(port: int, upstream: Upstream) -> list:
    """Returns the command of Envoy: its reverse transcoder, and nothing else."""
    types = "type.googleapis.com/envoy.extensions"
    transcoder = {
        "@type": f"{types}.filters.http.grpc_json_reverse_transcoder.v3.GrpcJsonReverseTranscoder",
        "descriptor_path": str(BUILD / "descriptors.bin"),
    }
    router = {"@type": f"{types}.filters.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "30s"}}
    manager = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "router", "typed_config": router},
        ],
    }
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream.port)}}]}],
        },
    }
    if upstream.tls:
        cluster["transport_socket"] = {
            "name": "tls",
            "typed_config": {
                "@type": f"{types}.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "localhost",
                "common_tls_context": {
                    "alpn_protocols": ["h2"],
                    "validation_context": {"trusted_ca": {"filename": str(BUILD / "ca.pem")}},
                },
            },
        }
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{types}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    filters = [{"name": "http", "typed_config": manager}]
    listener = {"address": address(port), "filter_chains": [{"filters": filters}]}
    configuration = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    return [
        *["envoy", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"],
        *["--config-yaml", json.dumps(configuration)],
    ]


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
