"""The works of the tables, and how a work is measured: in slices that alternate."""

import contextlib
import statistics
from dataclasses import dataclass

from processes import CORES, LAST, Running, Stub
from targets import Target


@dataclass(frozen=True)
class Contender:
    """A target and what it is to do."""

    target: Target
    # As the load generator calls it.
    work: str
    cores: list[int]

    @property
    def name(self) -> str:
        return f"{self.target.name}, {len(self.cores)} cores"


@dataclass(frozen=True)
class Work:
    title: str
    contenders: list[Contender]
    # Connections of the client, and RPCs in flight on each.
    load: tuple[int, int]
    tls: bool = False
    # Longer slices, since few RPCs end in one.
    stretch: int = 1
    # None: as many as the mode has.
    rounds: int | None = None
    # Whether a slice with one RPC in flight follows.
    single: bool = True
    # Whether a slice is one RPC of each in flight, and not a time.
    burst: bool = False


@dataclass(frozen=True)
class Times:
    """Rounds, and the seconds of a slice: of the warm-up, under load, with one RPC."""

    rounds: int
    warm_up: float
    loaded: float
    single: float


SMALL, LARGE, ONE = (4, 16), (4, 2), (1, 1)
MANY = 64
LONG = 100_000


def peers(targets: dict[str, Target], times: Times) -> list[Work]:
    """Returns the works that the gateway and its peers do."""

    def work(title: str, name: str, load: tuple[int, int], **options) -> Work:
        contenders = [Contender(target, name, LAST) for target in targets.values()]
        return Work(title, contenders, load, **options)

    works = [
        work("list of 1", "list-1", SMALL),
        work("create", "create", SMALL),
        work("list of 100", "list-100", SMALL),
        work("list of 5,000", "list-5000", LARGE, stretch=2),
    ]
    if times.rounds == 1:
        return works
    return works + [
        work("list of 1, HTTP/2 over TLS", "list-1", SMALL, tls=True),
        work("create, HTTP/2 over TLS", "create", SMALL, tls=True),
        work("list of 100, HTTP/2 over TLS", "list-100", SMALL, tls=True),
        work("list of 5,000, HTTP/2 over TLS", "list-5000", LARGE, tls=True, stretch=2, rounds=3),
    ]


def crowd(targets: dict[str, Target]) -> Work:
    """Returns the work of many long lists at once, for targets that end it in time. Each is
    one RPC: all must be served, and the peak of memory is the figure."""
    contenders = [
        Contender(targets[name], "list-5000", LAST)
        for name in ("gateway", "envoy", "naive", "lean")
        if name in targets
    ]
    title = f"{MANY} lists of 5,000 at once"
    return Work(title, contenders, (4, MANY // 4), rounds=1, single=False, burst=True)


def cores(gateway: Target) -> list[Work]:
    """Returns works for one core and for two."""
    return [
        Work(
            f"{title}, two cores and one",
            [Contender(gateway, name, CORES[-2:]), Contender(gateway, name, LAST)],
            SMALL,
            single=False,
        )
        for title, name in [("list of 1", "list-1"), ("list of 100", "list-100")]
    ]


def streams(large: Target, gateway: Target, relay: Target) -> Work:
    """Returns the work of one long list; `large` accepts all of it at once."""
    contenders = [
        Contender(gateway, f"stream-{LONG}", LAST),
        Contender(large, f"list-{LONG}", LAST),
        Contender(relay, f"relay-{LONG}", LAST),
    ]
    title = f"list of {LONG:,}, one at a time"
    return Work(title, contenders, ONE, stretch=2, rounds=3, single=False)


def measure(work: Work, times: Times, profile: str, load: tuple[int, int] | None = None) -> dict:
    """Measures a work on fresh processes; slices of all contenders alternate."""
    slices = {one.name: {"loaded": [], "single": []} for one in work.contenders}
    kinds = [("loaded", load or work.load, times.loaded)]
    if work.single:
        kinds.append(("single", ONE, times.single))
    with contextlib.ExitStack() as stack:
        stub = stack.enter_context(Stub.started(profile))
        running = {
            one.name: stack.enter_context(Running.started(one.target, stub, work.tls, one.cores))
            for one in work.contenders
        }
        for one in work.contenders:
            slices[one.name]["idle"] = running[one.name].memory("VmRSS")
        rounds = min(times.rounds, work.rounds or times.rounds)
        for turn in range(rounds):
            # Each round begins with another contender.
            first = turn % len(work.contenders)
            for one in work.contenders[first:] + work.contenders[:first]:
                for kind, in_flight, seconds in kinds:
                    seconds *= work.stretch
                    length = ["--warm-up", times.warm_up, "--seconds", seconds]
                    if work.burst:
                        length = ["--rpcs", in_flight[0] * in_flight[1]]
                    result = running[one.name].load(one.work, in_flight, *length)
                    slices[one.name][kind].append(result)
                    print(f"{work.title}, {one.target.title}, {kind}: {describe(result)}")
        for one in work.contenders:
            slices[one.name]["peak"] = running[one.name].memory("VmHWM")
    return {
        "work": work.title,
        "in_flight": work.load[0] * work.load[1],
        "rounds": rounds,
        "contenders": {name: summary(taken) for name, taken in slices.items()},
    }


def summary(taken: dict) -> dict:
    """Returns the medians of the slices; microseconds, seconds and KiB."""

    def median(kind: str, value) -> float | None:
        values = [value(one) for one in taken[kind]]
        known = [one for one in values if one is not None]
        return statistics.median(known) if known else None

    return {
        "cpu": median("loaded", cpu),
        "rate": median("loaded", lambda one: one["rpcs"] / one["seconds"]),
        "busy": median("loaded", lambda one: one["cpu_seconds"] / one["seconds"]),
        "single": median("single", lambda one: one["p50"]),
        "first": median("loaded", lambda one: one["first"]),
        "p50": median("loaded", lambda one: one["p50"]),
        "p99": median("loaded", lambda one: one["p99"]),
        "p999": median("loaded", lambda one: one["p999"]),
        "idle": taken["idle"],
        "peak": taken["peak"],
    }


def cpu(result: dict) -> float:
    """Returns the microseconds of CPU of an RPC."""
    return result["cpu_seconds"] / result["rpcs"] * 1e6


def describe(result: dict) -> str:
    rate = result["rpcs"] / result["seconds"]
    return f"{rate:,.0f} RPCs per second, {cpu(result):,.0f} µs of CPU each"
