"""Counts instructions and system calls of the gateway per RPC, and compares them with
bench/counts.baseline. Counts depend little on how busy the machine is.

A count is the difference between a long run and a short one, so that what a process and
its connections need once is not in it.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from processes import LAST, Running, Stub, pinned
from targets import BUILD, ROOT, gateway

BASELINE = ROOT / "bench/counts.baseline"

# Works and the RPCs in flight: connections, and RPCs on each.
CALLS = [("list-1", (1, 1)), ("list-1", (4, 16)), ("create", (4, 16)), ("list-100", (4, 16))]
INSTRUCTIONS = [("list-1", (1, 1)), ("create", (1, 1)), ("list-100", (1, 1))]

# RPCs of the short run and of the long one.
SHORT, LONG = 128, 640
ONE = (1, 1)
# How the stub and the load generator are built: under valgrind and strace the gateway is
# slower than they are.
TOOLS = "debug"
ALL = "all system calls"
# valgrind would count each byte of a large copy (`rep movsb`) and of a large fill (`rep
# stosb`) as an instruction, which takes far less time than one.
COPIES = {
    "GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=1000000000"
    ":glibc.cpu.x86_rep_stosb_threshold=1000000000"
}
# valgrind takes seconds to start a process.
START = 60

# A count fails if it is more than this part of the baseline. So many calls per RPC more
# are noise: how many RPCs share one depends on when they arrive.
INSTRUCTIONS_PART, CALLS_PART, CALLS_NOISE = 1.03, 1.05, 0.4
# Rarer calls are not counted.
RARE = 0.05
# How often threads wake each other depends on the machine.
WAKING, WAKING_PART = ("futex", "epoll_wait"), 1.5


def check(accept: bool) -> None:
    """Compares all counts with the baseline, or writes it."""
    counts = {}
    with Stub.started(TOOLS) as stub:
        for work, load in INSTRUCTIONS:
            name = f"{work}, {load[0] * load[1]} in flight"
            with counted(stub) as running:
                counts[f"{name}, instructions"] = instructions(running, work, load)
        with started(stub) as running:
            for work, load in CALLS:
                name = f"{work}, {load[0] * load[1]} in flight"
                for call, count in system_calls(running, work, load).items():
                    if call != ALL:
                        counts[f"{name}, {call}"] = count
    lines = [f"{name}: {count:.2f}" for name, count in sorted(counts.items())]
    if accept:
        BASELINE.write_text(
            f"# {machine()}; written by: just counts --accept\n" + "\n".join(lines) + "\n"
        )
        print(f"written: {BASELINE.relative_to(ROOT)}")
        return
    head, *before = BASELINE.read_text().splitlines()
    if machine() not in head:
        print(f"The baseline was counted with {head[2:]}; this is {machine()}.")
    before = dict(line.rsplit(": ", 1) for line in before)
    failed = [name for name in before.keys() - counts.keys() if name.endswith("instructions")]
    for name, count in sorted(counts.items()):
        was = float(before.get(name, 0))
        bound = limit(name, was)
        print(f"{name:<40} {was:>12,.2f} {count:>12,.2f} {'' if count <= bound else 'MORE'}")
        if count > bound:
            failed.append(name)
    if failed:
        sys.exit("An RPC takes more than the baseline. If intended, run: just counts --accept")


def limit(name: str, was: float) -> float:
    if name.endswith("instructions"):
        return was * INSTRUCTIONS_PART
    part = WAKING_PART if name.endswith(WAKING) else CALLS_PART
    return was * part + CALLS_NOISE


def started(stub: Stub, *flags) -> AbstractContextManager[Running]:
    return Running.started(gateway("release", *flags), stub)


@contextmanager
def counted(stub: Stub, *flags, program: Path | None = None) -> Iterator[Running]:
    """Starts a gateway under callgrind."""
    callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-instr=yes"]
    callgrind += [f"--callgrind-out-file={BUILD}/callgrind.out"]
    target = gateway("release", *flags, program=program)
    target = replace(target, environment=COPIES)
    options = {"under": tuple(callgrind), "start": START}
    for old in BUILD.glob("callgrind.out*"):
        old.unlink()
    with Running.started(target, stub, **options) as running:
        running.load("list-1", (1, 1), "--rpcs", 50)
        control(running, "--instr=on")
        yield running


def instructions(running: Running, work: str, load: tuple[int, int]) -> float:
    """Returns the instructions per RPC."""
    short, long = [total(profile_of(running, work, load, rpcs)) for rpcs in (SHORT, LONG)]
    return (long - short) / (LONG - SHORT)


def profile_of(running: Running, work: str, load: tuple[int, int], rpcs: int) -> Path:
    """Returns the profile of this many RPCs."""
    control(running, "--zero")
    running.load(work, load, "--rpcs", rpcs)
    control(running, "--dump")
    return max(BUILD.glob("callgrind.out.*"), key=lambda file: int(file.suffix[1:]))


def total(profile: Path) -> int:
    with profile.open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("summary:"))


def control(running: Running, command: str) -> None:
    subprocess.run(
        ["callgrind_control", command, str(running.pid)], check=True, capture_output=True
    )


def system_calls(running: Running, work: str, load: tuple[int, int]) -> dict[str, float]:
    """Returns the system calls per RPC, by name, and of all."""
    running.load(work, load, "--rpcs", SHORT)
    short, long = [traced(running, work, load, rpcs) for rpcs in (SHORT, LONG)]
    counts = {name: (count - short.get(name, 0)) / (LONG - SHORT) for name, count in long.items()}
    noticed = {name: count for name, count in counts.items() if count >= RARE}
    return noticed | {ALL: sum(counts.values())}


def traced(running: Running, work: str, load: tuple[int, int], rpcs: int) -> dict[str, int]:
    """Counts the system calls of this many RPCs."""
    output = BUILD / "strace.out"
    command = pinned(["strace", "-f", "-c", "-o", output, "-p", running.pid], LAST)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        attached = strace.stderr.readline()
        if "attached" not in attached:
            sys.exit(f"strace: {attached}")
        running.load(work, load, "--rpcs", rpcs)
        strace.send_signal(signal.SIGINT)
        strace.communicate()
    calls = {}
    for line in output.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3])
    return calls


def machine() -> str:
    versions = [["rustc", "--version"], ["valgrind", "--version"]]
    words = [subprocess.run(one, capture_output=True, text=True, check=True) for one in versions]
    return ", ".join(" ".join(one.stdout.split()[:2]) for one in words)
