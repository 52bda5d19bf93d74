"""Curves of the gateway alone: its cost against the size of what it is asked for."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from processes import Running, Stub, allow_files
from tables import LARGE, ONE, cpu
from targets import gateway

LENGTHS = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000]
CONCURRENCY = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024]
CONNECTIONS = [1, 10, 100, 300, 1_000, 3_000, 10_000]

# The greatest list, of about 0.9 KB each, that `--answer-limit` accepts in one message.
UNARY = 30_000
# From this length on, one RPC is in flight: more would measure the memory.
LONG = 10_000
# No connection of the client has more RPCs in flight.
STREAMS = 64

# Seconds before each point.
WARM_UP = 0.2


# Points of each line of a curve: the size, and the value.
Lines = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Curve:
    name: str
    title: str
    x: str
    # The unit of the values.
    y: str
    measure: Callable[[Stub, bool, float], Lines]
    explain: Callable[[Lines], str]


def some(sizes: list[int], short: bool) -> list[int]:
    return sizes[:3] if short else sizes


def measure_lengths(stub: Stub, short: bool, seconds: float) -> Lines:
    lines = {"one message": [], "stream": []}
    with Running.started(gateway(stub.profile), stub) as running:
        for length in some(LENGTHS, short):
            load = LARGE if length < LONG else ONE
            for line, work in [("one message", "list"), ("stream", "stream")]:
                if line == "one message" and length > UNARY:
                    continue
                work = f"{work}-{length}"
                result = running.load(work, load, "--warm-up", WARM_UP, "--seconds", seconds)
                lines[line].append((length, cpu(result)))
                print(f"list of {length:,}, {line}: {cpu(result):,.0f} µs of CPU")
    return lines


def explain_lengths(lines: Lines) -> str:
    texts = []
    for line, points in lines.items():
        fit = Line.through(points)
        texts.append(
            f"As {line if line.startswith('one') else f'a {line}'}, an RPC takes {fit.base:,.0f} µs "
            f"of CPU and {fit.slope:.2f} µs per connection; the points are within "
            f"{fit.off * 100:.0f} % of that line. From {points[len(points) // 2][0]:,} connections "
            f"on, the time grows with the length to the power of {exponent(points):.2f}."
        )
    return "\n".join(texts)


def measure_concurrency(stub: Stub, short: bool, seconds: float) -> Lines:
    lines = {"p50": [], "p99": []}
    # One client gets 7/16 of the slots, so each connection has another key.
    target = gateway(stub.profile, "--max-in-flight", 2 * CONCURRENCY[-1])
    with Running.started(target, stub) as running:
        for size in some(CONCURRENCY, short):
            connections = max(min(size, 4), math.ceil(size / STREAMS))
            load = (connections, size // connections)
            length = ["--keys", connections, "--warm-up", WARM_UP, "--seconds", seconds]
            result = running.load("list-1", load, *length)
            for line, points in lines.items():
                if result[line] is not None:
                    points.append((size, result[line]))
            rate = result["rpcs"] / result["seconds"]
            print(f"{size:,} RPCs in flight: p50 {result['p50']} µs, {rate:,.0f} RPCs per second")
    return lines


def explain_concurrency(lines: Lines) -> str:
    fit, middles = Line.through(lines["p50"]), dict(lines["p50"])
    spread = max(p99 / middles[size] for size, p99 in lines["p99"])
    return (
        f"The p50 of a list of 1 is {fit.base:,.0f} µs and {fit.slope:.1f} µs per RPC in "
        f"flight; the points are within {fit.off * 100:.0f} % of that line. The slope is the "
        f"time between two responses of a busy core: RPCs wait in turn, and none is "
        f"rejected. The p99 is at most {spread:.1f} times the p50."
    )


def measure_connections(stub: Stub, short: bool, _: float) -> Lines:
    allow_files()
    target = gateway(stub.profile, "--max-connections", 2 * CONNECTIONS[-1])
    points = []
    for size in some(CONNECTIONS, short):
        with Running.started(target, stub) as running, running.held(size):
            memory = running.memory("VmRSS") / 1024
        points.append((size, memory))
        print(f"{size:,} idle connections: {memory:,.1f} MiB")
    return {"resident memory": points}


def explain_connections(lines: Lines) -> str:
    fit = Line.through(lines["resident memory"])
    return (
        f"The gateway has {fit.base:,.1f} MiB resident and {fit.slope * 1024:,.1f} KiB per "
        f"connection that has had one RPC and is idle; the points are within "
        f"{fit.off * 100:.0f} % of that line."
    )


CURVES = [
    Curve(
        "length",
        "CPU time per RPC against the length of the list",
        "connections in the list",
        "µs",
        measure_lengths,
        explain_lengths,
    ),
    Curve(
        "concurrency",
        "Latency of a list of 1 against RPCs in flight",
        "RPCs in flight",
        "µs",
        measure_concurrency,
        explain_concurrency,
    ),
    Curve(
        "connections",
        "Resident memory against idle connections",
        "idle connections",
        "MiB",
        measure_connections,
        explain_connections,
    ),
]


def measure(profile: str, seconds: float, short: bool = False) -> list[tuple[Curve, Lines]]:
    """Measures all curves; `short` takes the first points only."""
    with Stub.started(profile) as stub:
        return [(curve, curve.measure(stub, short, seconds)) for curve in CURVES]


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
