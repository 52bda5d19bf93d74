"""Starts the stub, the targets and the load generator, each on its core."""

import contextlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from targets import BUILD, TARGET, Target, Upstream

# The target has the last core for itself; the stub and the load generator share the
# first, or have one each if there are more.
CORES = sorted(os.sched_getaffinity(0))
LAST, CLIENT, STUB = CORES[-1:], CORES[:1], CORES[1:2] if len(CORES) > 2 else CORES[:1]

# Seconds for a process to start, and for a load generator beyond its time.
START, GRACE = 10, 60


def pinned(command: list, cores: list[int]) -> list[str]:
    """Returns the command that runs another on these cores."""
    listed = ",".join(str(core) for core in cores)
    return [str(word) for word in ["taskset", "--cpu-list", listed, *command]]


@contextlib.contextmanager
def process(command: list, cores: list[int], **options) -> Iterator[subprocess.Popen]:
    child = subprocess.Popen(pinned(command, cores), **options)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@dataclass(frozen=True)
class Stub:
    plain: int
    tls: int
    # How it and the load generator are built.
    profile: str

    @staticmethod
    @contextlib.contextmanager
    def started(profile: str) -> Iterator["Stub"]:
        command = [TARGET / profile / "stub", "--files", BUILD]
        with process(command, STUB, stdout=subprocess.PIPE, text=True) as child:
            yield Stub(**json.loads(child.stdout.readline()), profile=profile)

    def upstream(self, tls: bool = False) -> Upstream:
        return Upstream(self.tls if tls else self.plain, tls)

    def requests(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plain}/requests") as response:
            return int(response.read())


@dataclass(frozen=True)
class Running:
    """A target that listens."""

    pid: int
    port: int
    stub: Stub

    @staticmethod
    @contextlib.contextmanager
    def started(
        target: Target,
        stub: Stub,
        tls: bool = False,
        cores: list[int] = LAST,
        under: tuple = (),
        start: float = START,
    ) -> Iterator["Running"]:
        """Starts a target, with its log in a file; `under` is a command that runs it."""
        port = free_port()
        command = [*under, *target.command(port, stub.upstream(tls))]
        log = BUILD / f"{target.name}-{port}.log"
        environment = os.environ | target.environment
        with (
            log.open("w") as file,
            process(command, cores, stderr=file, stdout=file, env=environment) as child,
        ):
            deadline = time.monotonic() + start
            while not listens(port):
                if child.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{target.title} does not listen:\n{log.read_text()}")
                time.sleep(0.05)
            yield Running(child.pid, port, stub)
        # It has a line for each RPC.
        log.unlink()

    def load(self, work: str, load: tuple[int, int], *length) -> dict:
        """Runs the load generator; checks that each RPC was one request.

        `load` is the connections and the RPCs in flight on each. `length` says
        when the generator ends: after seconds, which are floats, or RPCs.
        """
        before = self.stub.requests()
        command = self.command(work, load[0]) + ["--streams", load[1], *length]
        limit = GRACE + sum(word for word in length if isinstance(word, float))
        done = subprocess.run(
            pinned(command, CLIENT), capture_output=True, text=True, timeout=limit, check=False
        )
        if done.returncode:
            sys.exit(f"{command}\n{done.stdout}{done.stderr}")
        result = json.loads(done.stdout)
        requests = self.stub.requests() - before
        if requests != result["total"]:
            sys.exit(f"{command}\n{requests} requests for {result['total']} RPCs")
        return result

    @contextlib.contextmanager
    def held(self, connections: int) -> Iterator[None]:
        """Holds connections that have had one RPC each."""
        command = [*self.command("list-1", connections), "--hold"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with process(command, CLIENT, **pipes) as child:
            if json.loads(child.stdout.readline() or "{}") != {"connections": connections}:
                sys.exit(f"{command} does not hold its connections")
            yield

    def command(self, work: str, connections: int) -> list:
        address = f"127.0.0.1:{self.port}"
        return [
            *[TARGET / self.stub.profile / "load", "--address", address, "--pid", self.pid],
            *["--work", work, "--connections", connections],
        ]

    def memory(self, field: str) -> int:
        """Returns a field of the process's status, in KiB."""
        with open(f"/proc/{self.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(field))


def allow_files() -> None:
    """Raises the limit of open files to the greatest allowed, also for child processes."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port() -> int:
    """Returns a port that no process gets for a connection of its own meanwhile."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    sys.exit("no port is free")


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
