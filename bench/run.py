"""Measures whole RPCs through the gateway and its peers.

python3 -B bench/run.py [full | quick | smoke] [TARGET ...]. `full` writes the figures of
all targets to docs/performance.md, `quick` prints them, and `smoke` only checks debug
builds. The page says what is measured. A wrong response ends the run with an error.
"""

import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import report
from targets import BUILD, ROOT, TARGET, Target, Upstream, build, targets


@dataclass(frozen=True)
class Work:
    name: str
    title: str
    # Connections of the client, and RPCs in flight on each.
    load: tuple[int, int]
    tls: bool = False
    # Longer slices, since few RPCs end in one.
    stretch: int = 1


ALL = ("gateway", "envoy", "vanguard", "naive", "lean")


@dataclass(frozen=True)
class Mode:
    rounds: int
    # Seconds of a slice: of the warm-up, under load, with one RPC in flight.
    times: tuple[float, float, float]
    profile: str = "release"
    targets: tuple[str, ...] = ALL
    # Works to leave out, since they take long.
    lacks: frozenset[str] = frozenset()
    # Connections and RPCs in flight on each, instead of those of the work.
    load: tuple[int, int] | None = None

    def works(self) -> list["Work"]:
        return [work for work in WORKS if work.title not in self.lacks]


SMALL, LARGE = (4, 16), (4, 2)
ONE = (1, 1)
WORKS = [
    Work("list-1", "list of 1", SMALL),
    Work("create", "create", SMALL),
    Work("list-100", "list of 100", SMALL),
    Work("list-5000", "list of 5,000", LARGE, stretch=2),
    Work("list-1", "list of 1, HTTP/2 over TLS", SMALL, tls=True),
    Work("list-100", "list of 100, HTTP/2 over TLS", SMALL, tls=True),
]
MODES = {
    "full": Mode(rounds=5, times=(0.5, 3, 1.5)),
    "quick": Mode(
        rounds=1,
        times=(0.2, 0.8, 0.4),
        lacks=frozenset(work.title for work in WORKS if work.tls),
    ),
    "smoke": Mode(
        rounds=1,
        times=(0, 0.5, 0.2),
        profile="debug",
        lacks=frozenset(["list of 5,000", "list of 100, HTTP/2 over TLS"]),
        load=(2, 2),
        targets=("gateway", "naive", "lean"),
    ),
}

# Seconds for a process to start, and for a load generator beyond its time.
START, GRACE = 10, 30


def main() -> None:
    name, *only = sys.argv[1:] or ["full"]
    if name not in MODES:
        sys.exit(__doc__)
    mode = MODES[name]
    names = only or mode.targets
    chosen = [target for target in targets(mode.profile) if target.name in names]
    if len(chosen) < len(names):
        sys.exit(f"targets are {', '.join(ALL)}")
    busy = os.getloadavg()[0]
    if busy > 1 and name != "smoke":
        print(f"the machine is busy (load average {busy:.1f}): the figures will be off")
    build(mode.profile, [target.name for target in chosen])
    results = [measure(work, chosen, mode) for work in mode.works()]
    if name == "smoke":
        return
    text = report.markdown(results, chosen, mode, busy)
    print(text)
    (BUILD / "results.json").write_text(json.dumps(results, indent=1))
    if name == "full" and not only:
        report.write(text, report.plot(results, chosen))


def measure(work: Work, chosen: list[Target], mode: Mode) -> dict:
    """Measures a work on fresh processes; slices of all targets alternate."""
    slices = {target.name: {"loaded": [], "single": []} for target in chosen}
    warm_up, loaded, single = mode.times
    with contextlib.ExitStack() as stack:
        stub = stack.enter_context(Stub.started(mode.profile))
        upstream = Upstream(stub.tls if work.tls else stub.plain, work.tls)
        running = {
            target.name: stack.enter_context(Running.started(target, upstream)) for target in chosen
        }
        for target in chosen:
            slices[target.name]["idle"] = running[target.name].memory("VmRSS")
        for turn in range(mode.rounds):
            # Each round begins with another target.
            for target in chosen[turn % len(chosen) :] + chosen[: turn % len(chosen)]:
                for kind, load, seconds in [
                    ("loaded", mode.load or work.load, loaded),
                    ("single", ONE, single),
                ]:
                    command = [*running[target.name].load(mode.profile), "--work", work.name]
                    result = call(command, load, warm_up, seconds * work.stretch, stub)
                    slices[target.name][kind].append(result)
                    print(f"{work.title}, {target.title}, {kind}: {describe(result)}")
        for target in chosen:
            slices[target.name]["peak"] = running[target.name].memory("VmHWM")
    return {
        "work": work.title,
        "in_flight": work.load[0] * work.load[1],
        "targets": {name: summary(taken) for name, taken in slices.items()},
    }


def call(
    command: list, load: tuple[int, int], warm_up: float, seconds: float, stub: "Stub"
) -> dict:
    """Runs the load generator; checks that each RPC was one request."""
    before = stub.requests()
    arguments = ["--connections", load[0], "--streams", load[1]]
    arguments += ["--warm-up", warm_up, "--seconds", seconds]
    command = command + arguments
    limit = warm_up + seconds + GRACE
    done = subprocess.run(
        pinned(command, CLIENT), capture_output=True, text=True, timeout=limit, check=False
    )
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    result = json.loads(done.stdout)
    requests = stub.requests() - before
    if requests != result["total"]:
        sys.exit(f"{command}\n{requests} requests for {result['total']} RPCs")
    return result


def summary(taken: dict) -> dict:
    """Returns the medians of the slices; microseconds, seconds and KiB."""

    def median(kind: str, value) -> float | None:
        values = [value(one) for one in taken[kind]]
        known = [one for one in values if one is not None]
        return statistics.median(known) if known else None

    return {
        "cpu": median("loaded", lambda one: one["cpu_seconds"] / one["rpcs"] * 1e6),
        "rate": median("loaded", lambda one: one["rpcs"] / one["seconds"]),
        "busy": median("loaded", lambda one: one["cpu_seconds"] / one["seconds"]),
        "single": median("single", lambda one: one["p50"]),
        "p50": median("loaded", lambda one: one["p50"]),
        "p99": median("loaded", lambda one: one["p99"]),
        "p999": median("loaded", lambda one: one["p999"]),
        "idle": taken["idle"],
        "peak": taken["peak"],
    }


def describe(result: dict) -> str:
    rate, cpu = result["rpcs"] / result["seconds"], result["cpu_seconds"] / result["rpcs"] * 1e6
    return f"{rate:,.0f} RPCs per second, {cpu:,.0f} µs of CPU each"


# The target has the last core for itself; the stub and the load generator share the
# first, or have one each if there are more.
CORES = sorted(os.sched_getaffinity(0))
GATEWAY, CLIENT, STUB = CORES[-1], CORES[0], CORES[1 if len(CORES) > 2 else 0]


def pinned(command: list, core: int) -> list[str]:
    return [str(word) for word in ["taskset", "--cpu-list", core, *command]]


@contextlib.contextmanager
def process(command: list, core: int, **options) -> Iterator[subprocess.Popen]:
    child = subprocess.Popen(pinned(command, core), **options)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@dataclass(frozen=True)
class Stub:
    plain: int
    tls: int

    @staticmethod
    @contextlib.contextmanager
    def started(profile: str) -> Iterator["Stub"]:
        command = [TARGET / profile / "stub", "--files", BUILD]
        with process(command, STUB, stdout=subprocess.PIPE, text=True) as child:
            yield Stub(**json.loads(child.stdout.readline()))

    def requests(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plain}/requests") as response:
            return int(response.read())


@dataclass(frozen=True)
class Running:
    """A target that listens."""

    pid: int
    port: int

    @staticmethod
    @contextlib.contextmanager
    def started(target: Target, upstream: Upstream) -> Iterator["Running"]:
        port = free_port()
        command = target.command(port, upstream)
        log = BUILD / f"{target.name}.log"
        environment = os.environ | target.environment
        with (
            log.open("w") as file,
            process(command, GATEWAY, stderr=file, stdout=file, env=environment) as child,
        ):
            deadline = time.monotonic() + START
            while not listens(port):
                if child.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{target.title} does not listen:\n{log.read_text()}")
                time.sleep(0.05)
            yield Running(child.pid, port)

    def load(self, profile: str) -> list:
        address = f"127.0.0.1:{self.port}"
        return [TARGET / profile / "load", "--address", address, "--pid", self.pid]

    def memory(self, field: str) -> int:
        """Returns a field of the process's status, in KiB."""
        with open(f"/proc/{self.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(field))


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


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
