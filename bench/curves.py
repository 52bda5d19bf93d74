"""Curves of the gateway alone: its cost against the size of what it is asked for."""

import contextlib
import math
from dataclasses import dataclass

from processes import Running, Stub, allow_files
from tables import LARGE, ONE, Times, cpu
from targets import Target, gateway

LENGTHS = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000]
CONCURRENCY = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024]
CONNECTIONS = [1, 10, 100, 300, 1_000, 3_000, 10_000]

# The greatest list, of about 0.9 KB each, that `--answer-limit` accepts in one message.
UNARY = 30_000
# From this length on, one RPC is in flight: more would measure the memory.
LONG = 10_000
# No connection of the client has more RPCs in flight.
STREAMS = 64


@dataclass(frozen=True)
class Curve:
    name: str
    title: str
    x: str
    y: str
    # Points of each line: the size, and the value in the unit of `y`.
    lines: dict[str, list[tuple[float, float]]]
    text: str


def curves(profile: str, times: Times, short: bool) -> list[Curve]:
    """Measures all curves; `short` takes the first points only."""
    few = 3 if short else None
    seconds = times.single
    with Stub.started(profile) as stub:
        return [
            of_length(stub, LENGTHS[:few], seconds),
            of_concurrency(stub, CONCURRENCY[:few], seconds),
            of_connections(stub, CONNECTIONS[:few]),
        ]


def of_length(stub: Stub, lengths: list[int], seconds: float) -> Curve:
    lines = {"one message": [], "stream": []}
    with Running.started(gateway(stub.profile), stub) as running:
        for length in lengths:
            load = LARGE if length < LONG else ONE
            for line, work in [("one message", "list"), ("stream", "stream")]:
                if line == "one message" and length > UNARY:
                    continue
                result = running.load(
                    f"{work}-{length}", load, "--warm-up", 0.2, "--seconds", seconds
                )
                lines[line].append((length, cpu(result)))
                print(f"list of {length:,}, {line}: {cpu(result):,.0f} µs of CPU")
    texts = []
    for line, points in lines.items():
        fit = Line.through(points)
        texts.append(
            f"As {with_article(line)}, an RPC takes {fit.base:,.0f} µs of CPU and {fit.slope:.2f} µs "
            f"per connection; the points are within {fit.off * 100:.0f} % of that line. "
            f"From {points[len(points) // 2][0]:,} connections on, the time grows with "
            f"the length to the power of {exponent(points):.2f}."
        )
    return Curve(
        "length",
        "CPU time per RPC against the length of the list",
        "connections in the list",
        "µs",
        lines,
        "\n".join(texts),
    )


def with_article(line: str) -> str:
    return line if line.startswith("one ") else f"a {line}"


def of_concurrency(stub: Stub, sizes: list[int], seconds: float) -> Curve:
    lines = {"p50": [], "p99": []}
    # The places of the gateway allow one key 7/16 of them, and each connection has a key.
    target = gateway(stub.profile, "--max-in-flight", 2 * CONCURRENCY[-1])
    with Running.started(target, stub) as running:
        for size in sizes:
            connections = max(min(size, 4), math.ceil(size / STREAMS))
            load = (connections, size // connections)
            result = running.load("list-1", load, "--warm-up", 0.2, "--seconds", seconds)
            for line, points in lines.items():
                if result[line] is not None:
                    points.append((size, result[line]))
            rate = result["rpcs"] / result["seconds"]
            print(f"{size:,} RPCs in flight: p50 {result['p50']} µs, {rate:,.0f} RPCs per second")
    fit = Line.through(lines["p50"])
    middles = dict(lines["p50"])
    spread = max((p99 / middles[size] for size, p99 in lines["p99"]), default=0)
    text = (
        f"The p50 of a list of 1 is {fit.base:,.0f} µs and {fit.slope:.1f} µs per RPC in "
        f"flight; the points are within {fit.off * 100:.0f} % of that line. The slope is the "
        f"time between two responses of a busy core: RPCs wait in turn, and none is "
        f"rejected. The p99 is at most {spread:.1f} times the p50."
    )
    return Curve(
        "concurrency",
        "Latency of a list of 1 against RPCs in flight",
        "RPCs in flight",
        "µs",
        lines,
        text,
    )


def of_connections(stub: Stub, sizes: list[int]) -> Curve:
    allow_files()
    target = gateway(stub.profile, "--max-connections", 2 * CONNECTIONS[-1])
    points = []
    for size in sizes:
        with idle(target, stub, size) as memory:
            points.append((size, memory / 1024))
            print(f"{size:,} idle connections: {memory / 1024:,.1f} MiB")
    fit = Line.through(points)
    text = (
        f"The gateway has {fit.base:,.1f} MiB resident and {fit.slope * 1024:,.1f} KiB per "
        f"connection that has had one RPC and is idle; the points are within "
        f"{fit.off * 100:.0f} % of that line."
    )
    return Curve(
        "connections",
        "Resident memory against idle connections",
        "idle connections",
        "MiB",
        {"resident memory": points},
        text,
    )


@contextlib.contextmanager
def idle(target: Target, stub: Stub, connections: int):
    """Returns the resident KiB of a gateway that has this many idle connections."""
    with (
        Running.started(target, stub) as running,
        running.held(connections),
    ):
        yield running.memory("VmRSS")


@dataclass(frozen=True)
class Line:
    base: float
    slope: float
    # The greatest distance of a point, as a part of its value.
    off: float

    @staticmethod
    def through(points: list[tuple[float, float]]) -> "Line":
        """Fits a line whose relative distances from the points are least."""
        weights = [1 / y**2 for _, y in points]
        total = sum(weights)
        mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
        mean_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
        over = sum(
            w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True)
        )
        under = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
        slope = over / under if under else 0.0
        base = mean_y - slope * mean_x
        off = max(abs(base + slope * x - y) / y for x, y in points)
        return Line(base, slope, off)


def exponent(points: list[tuple[float, float]]) -> float:
    """Returns the slope of the upper half on logarithmic axes: 1 is linear."""
    logs = [(math.log(x), math.log(y)) for x, y in points[len(points) // 2 :]]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    under = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / under if under else 0.0
