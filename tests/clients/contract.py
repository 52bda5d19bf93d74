"""The contract's messages, generated from proto/ when this module is loaded."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROTO = ROOT / "proto"
BUILD = ROOT / "target" / "clients"
SERVICE = "polytomic.connections.v1.PartnerSharedConnectionsService"


def protoc(output: Path, *arguments: str, also: tuple[Path, ...] = ()):
    """Runs protoc on the contract, as docs/CLIENTS.md says, into an empty directory.

    This protoc is the one that comes with grpcio-tools.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    files = [*PROTO.glob("polytomic/**/*.proto"), *also]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *arguments, *files]
    subprocess.run(command, check=True)


GENERATED = BUILD / "python"
protoc(
    GENERATED,
    f"--python_out={GENERATED}",
    f"--grpc_python_out={GENERATED}",
    also=(PROTO / "buf/validate/validate.proto",),
)
sys.path.insert(0, str(GENERATED))

from polytomic.connections.v1 import (  # It was not there before.
    partner_shared_connections_service_pb2 as messages,
)

__all__ = ["BUILD", "GENERATED", "PROTO", "ROOT", "SERVICE", "messages", "protoc"]
