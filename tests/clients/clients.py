"""The clients, each as a function: an address and a call in, an outcome out."""

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2

from contract import BUILD, GENERATED, PROTO, SERVICE, messages, protoc

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files: whom to trust, and what to show."""

    ca: str
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Call:
    rpc: str
    request: dict
    metadata: dict[str, str]
    tls: Tls | None = None

    def responded(self, response: dict) -> "Outcome":
        kind = getattr(messages, f"{self.rpc}Response")
        return Outcome(json_format.ParseDict(response, kind()), status_pb2.Status())


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call: a response, or the status of a failure."""

    response: Message | None
    status: status_pb2.Status

    @property
    def code(self) -> str:
        return code_pb2.Code.Name(self.status.code)

    def detail(self, kind: type[Message]) -> Message:
        """Returns the one detail of a kind; fails if there are more or none."""
        found = [any for any in self.status.details if any.Is(kind.DESCRIPTOR)]
        assert len(found) == 1, f"{len(found)} of {kind.DESCRIPTOR.name} in {self.status}"
        detail = kind()
        found[0].Unpack(detail)
        return detail


def failed(status: dict) -> Outcome:
    return Outcome(None, json_format.ParseDict(status, status_pb2.Status()))


def run(*command, **options) -> subprocess.CompletedProcess:
    options = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run([str(word) for word in command], check=False, **options)


def run_or_fail(*command, **options) -> str:
    done = run(*command, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def headers(call: Call) -> list[str]:
    return [word for item in call.metadata.items() for word in ("-H", ": ".join(item))]


def tls_flags(call: Call, prefix: str) -> list[str]:
    """Returns the flags for TLS, which have the same names in both tools."""
    files = {"cacert": call.tls.ca, "cert": call.tls.certificate, "key": call.tls.key}
    shown = {name: file for name, file in files.items() if file is not None}
    return [word for name, file in shown.items() for word in (f"{prefix}{name}", file)]


def grpcurl(address: str, call: Call) -> Outcome:
    transport = ["-plaintext"] if call.tls is None else tls_flags(call, "-")
    done = run(
        *("grpcurl", *transport, "-format-error", *headers(call)),
        *("-d", json.dumps(call.request), address, f"{SERVICE}/{call.rpc}"),
    )
    if done.returncode == 0:
        return call.responded(json.loads(done.stdout))
    if done.stderr.startswith("Failed to dial target host"):
        return failed({"code": code_pb2.UNAVAILABLE, "message": done.stderr})
    outcome = failed(json.loads(done.stderr))
    assert done.returncode == 64 + outcome.status.code, done
    return outcome


def buf_curl(address: str, call: Call) -> Outcome:
    if call.tls is None:
        scheme, transport = "http", ["--http2-prior-knowledge"]
    else:
        scheme, transport = "https", tls_flags(call, "--")
    done = run(
        *("buf", "curl", "--protocol", "grpc", *transport, *headers(call)),
        *("-d", json.dumps(call.request), f"{scheme}://{address}/{SERVICE}/{call.rpc}"),
    )
    if done.returncode == 0:
        return call.responded(json.loads(done.stdout))
    if call.tls is not None and done.stderr.startswith("Failure: failed to find service"):
        # Without a connection there is no reflection, of which buf asks for the service.
        return failed({"code": code_pb2.UNAVAILABLE, "message": done.stderr})
    error = json.loads(done.stderr)
    code = code_pb2.Code.Value(error["code"].upper())
    status = status_pb2.Status(code=code, message=error.get("message", ""))
    for detail in error.get("details", []):
        value = base64.b64decode(detail["value"] + "==")  # It comes without padding.
        status.details.add(type_url=f"type.googleapis.com/{detail['type']}", value=value)
    assert done.returncode == 8 * code, done
    return Outcome(None, status)


class Program:
    """A program that makes one call with a language's own gRPC library.

    It reads the call from standard input, as JSON with the paths of the files for TLS, if
    there are any, and prints either
    {"response": …} or a google.rpc.Status, in protobuf's JSON. Of a stream, it prints
    {"received": …, "first": …, "last": …}.
    """

    def __init__(self, *command, **options):
        self.command = command
        self.options = options

    def receive(self, address: str, call: Call, timeout: int) -> dict:
        """Makes a call that streams. Returns how many connections came, and two ids."""
        job = json.dumps(asdict(call) | {"timeout": timeout})
        options = self.options | {"timeout": timeout + 10}
        return json.loads(run_or_fail(*self.command, address, input=job, **options))

    def __call__(self, address: str, call: Call) -> Outcome:
        job = json.dumps(asdict(call))
        printed = json.loads(run_or_fail(*self.command, address, input=job, **self.options))
        return call.responded(printed["response"]) if "response" in printed else failed(printed)


def copy(language: str) -> Path:
    """Copies a client to where a build does not litter the work tree."""
    directory = BUILD / language
    shutil.copytree(HERE / language, directory, dirs_exist_ok=True)
    return directory


def python() -> Program:
    environment = os.environ | {"PYTHONPATH": str(GENERATED)}
    return Program(sys.executable, HERE / "python/client.py", env=environment)


@cache
def install_node() -> Path:
    """Installs the packages of the programs for Node.js, once."""
    directory = copy("node")
    install = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    run_or_fail(*install, cwd=directory, timeout=300)
    return directory


def node() -> Program:
    return Program("node", install_node() / "client.js", PROTO)


def go() -> Program:
    directory = copy("go")
    generated = directory / "gen"
    # The generated code imports the options file, which is in no published module.
    options = "polytomic/gateway/v1"
    module = "polytomic-gateway/tests/clients/go/gen"
    protoc(
        generated,
        f"--go_out={generated}",
        "--go_opt=paths=source_relative",
        f"--go_opt=M{options}/options.proto={module}/{options}",
        f"--go-grpc_out={generated}",
        "--go-grpc_opt=paths=source_relative",
    )
    run_or_fail("go", "vet", "./...", cwd=directory, timeout=600)
    run_or_fail("go", "build", "-o", "bin/", "./...", cwd=directory, timeout=600)
    return Program(directory / "bin" / "go")


# How each client is made ready to be called.
READY = {
    "grpcurl": lambda: grpcurl,
    "buf_curl": lambda: buf_curl,
    "python": python,
    "node": node,
    "go": go,
}
