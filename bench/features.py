"""What each part of the gateway costs of an RPC, in instructions.

Two methods. A flag that turns a feature off gives its cost as a difference. For the
features without such a flag, callgrind counts each instruction of whole RPCs, and the
count goes to a part by the source file: that of the instruction, or for the code of a
library, that of its callers in the gateway, in proportion to what they call for.
"""

import shutil
from collections import defaultdict
from pathlib import Path

import callgrind
import counts
from processes import Stub
from targets import BUILD, TARGET, build_gateway

WORKS = {"list of 1": "list-1", "create": "create", "list of 100": "list-100"}
RPCS = 1_000

# The parts, by the beginning of a file's path below src. The first that fits counts.
PARTS = [
    ("log line", ("telemetry", "gateway/record")),
    ("key check (the key is in the cache)", ("auth", "gateway/identity")),
    ("responses that clients leave unread", ("budget/unread",)),
    ("budgets of memory and slots", ("budget",)),
    ("deadlines and timeouts", ("gateway/deadline", "gateway/timeouts")),
    ("idempotency key", ("gateway/idempotency",)),
    ("attempts, retries and outcome", ("gateway/attempt", "gateway/retry", "gateway/outcome")),
    ("circuit breaker", ("upstream/breaker",)),
    ("metadata checks", ("gateway/metadata", "grpc/metadata")),
    ("health and reflection", ("grpc/health", "grpc/reflection")),
    ("translation", ("transcode", "contract")),
    ("HTTP/2 and connections of clients", ("net",)),
    ("gRPC framing and routing", ("grpc",)),
    ("HTTP client and its connections", ("upstream",)),
    ("the RPC itself", ("gateway", "status")),
    ("start and other files", ("",)),
]
RUNTIME = "runtime, and tasks of libraries"

# Flags that turn a feature off.
FLAGS = [
    ("log line", ("--log", "off")),
    ("key check", ("--no-key-check",)),
    ("retries", ("--attempts", "1")),
]


def markdown() -> str:
    """Measures both tables."""
    binary = build()
    with Stub.started(counts.TOOLS) as stub:
        whole = {title: parts(stub, binary, work) for title, work in WORKS.items()}
        flags = {name: without(stub, options) for name, options in [("", ()), *FLAGS]}
    return "\n".join([by_part(whole), by_flag(flags)])


def build() -> Path:
    """Builds the release binary with its symbols, and returns where it is."""
    package = "profile.release.package.polytomic-gateway"
    build_gateway(
        "release",
        *["--config", f'{package}.debug="line-tables-only"'],
        *["--config", f'{package}.strip="none"'],
    )
    binary = BUILD / "polytomic-gateway"
    shutil.copy(TARGET / "release/polytomic-gateway", binary)
    build_gateway("release")
    return binary


def parts(stub: Stub, binary: Path, work: str) -> dict[str, float]:
    """Returns the instructions of each part, per RPC."""
    with counts.counted(stub, program=binary) as running:
        file = counts.profile_of(running, work, counts.ONE, RPCS)
    costs = defaultdict(float)
    for path, cost in callgrind.by_file(callgrind.read(file, binary), binary).items():
        costs[part(path)] += cost / RPCS
    return costs


def part(path: str) -> str:
    if not path:
        return RUNTIME
    return next(name for name, begins in PARTS if path.startswith(begins))


def without(stub: Stub, flags: tuple) -> tuple[float, float]:
    """Returns the instructions and the system calls of a list of 1."""
    with counts.counted(stub, *flags) as running:
        instructions = counts.instructions(running, "list-1", counts.ONE)
    with counts.started(stub, *flags) as running:
        calls = counts.system_calls(running, "list-1", (4, 16))
    return instructions, calls[counts.ALL]


def by_part(whole: dict[str, dict[str, float]]) -> str:
    lines = [["part", *whole], ["---"] + ["---:"] * len(whole)]
    totals = {title: sum(costs.values()) for title, costs in whole.items()}
    for name in [name for name, _ in PARTS] + [RUNTIME]:
        if any(costs.get(name, 0) >= 1 for costs in whole.values()):
            lines.append(
                [
                    name,
                    *[
                        f"{costs.get(name, 0):,.0f} ({costs.get(name, 0) / totals[title] * 100:.1f} %)"
                        for title, costs in whole.items()
                    ],
                ]
            )
    lines.append(["**all**", *[f"{total:,.0f}" for total in totals.values()]])
    return rows(lines)


def by_flag(flags: dict[str, tuple[float, float]]) -> str:
    (instructions, calls), *others = flags.values()
    lines = [
        ["feature", "turned off by", "instructions", "system calls, 64 in flight"],
        ["---", "---", "---:", "---:"],
        ["", "all on", f"{instructions:,.0f}", f"{calls:.2f}"],
    ]
    for (name, options), (less, fewer) in zip(FLAGS, others, strict=True):
        flag = f"`{' '.join(options)}`"
        lines.append([name, flag, f"{instructions - less:+,.0f}", f"{calls - fewer:+.2f}"])
    return rows(lines)


def rows(lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
