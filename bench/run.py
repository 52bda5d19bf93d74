"""Measures whole RPCs through the gateway and its peers.

python3 -B bench/run.py [MODE] [TARGET ...]

full      writes all figures to docs/performance.md
quick     prints the figures of the tables
curves    writes the curves of the gateway
features  writes what the features of the gateway cost
counts    compares instructions and system calls per RPC with bench/counts.baseline;
          with --accept, writes that file
smoke     only checks debug builds

The page says what is measured. A wrong response ends the run with an error.
"""

import json
import os
import sys

import counts
import curves
import features
import plots
import report
import tables
from tables import Times
from targets import (
    ALL,
    BUILD,
    ROOT,
    build_gateway,
    build_tools,
    build_vanguard,
    gateway,
    rust,
    targets,
)

FULL = Times(rounds=5, warm_up=0.3, loaded=1.5, single=0.7)
QUICK = Times(rounds=1, warm_up=0.2, loaded=0.8, single=0.4)
SMOKE = Times(rounds=1, warm_up=0, loaded=0.5, single=0.2)

# Room for a list of 100,000 in one message.
LARGE = ("--answer-limit", 128 << 20, "--answer-memory", 1 << 30)


def main() -> None:
    mode, *rest = sys.argv[1:] or ["full"]
    modes = {
        "full": full,
        "quick": quick,
        "curves": write_curves,
        "features": write_features,
        "counts": count,
        "smoke": smoke,
    }
    if mode not in modes:
        sys.exit(__doc__)
    busy = os.getloadavg()[0]
    if busy > 1 and mode not in ("smoke", "counts"):
        print(f"the machine is busy (load average {busy:.1f}): the figures will be off")
    modes[mode](rest)


def full(_: list[str]) -> None:
    text, files = tabulate(list(ALL), FULL)
    image = f"![CPU time per RPC of each target]({report.BARS})"
    report.write("figures", f"{image}\n\n{text}", files)
    write_curves([], built=True)
    write_features([])


def quick(names: list[str]) -> None:
    tabulate(names or list(ALL), QUICK)


def tabulate(names: list[str], times: Times) -> tuple[str, dict[str, str]]:
    """Returns the tables and the plot of these targets."""
    busy = os.getloadavg()[0]
    chosen = {target.name: target for target in targets("release") if target.name in names}
    if len(chosen) < len(names):
        sys.exit(f"targets are {', '.join(ALL)}")
    build_gateway("release")
    build_tools("release")
    if "vanguard" in chosen:
        build_vanguard()
    others = []
    if "gateway" in chosen:
        large = gateway("release", *LARGE, name="large", title="the gateway, one message")
        stream = gateway("release", title="the gateway, a stream")
        relay = rust("release", "relay", "byte relay")
        works = [tables.crowd(chosen), *tables.cores(chosen["gateway"])]
        works.append(tables.streams(large, stream, relay))
        others = [(work, tables.measure(work, times, "release")) for work in works]
    works = tables.peers(chosen, times)
    main = [tables.measure(work, times, "release") for work in works]
    text = report.markdown(main, list(chosen.values()), others, times, busy)
    print(text)
    (BUILD / "results.json").write_text(json.dumps([main, [one for _, one in others]], indent=1))
    return text, {report.BARS: plots.bars(main, list(chosen.values()))}


def write_curves(_: list[str], built: bool = False) -> None:
    if not built:
        build_gateway("release")
        build_tools("release")
    report.write("curves", *report.curves(curves.measure("release", FULL.loaded)))


def write_features(_: list[str]) -> None:
    build_tools(counts.TOOLS)
    text = f"{report.machine()}\n\n{features.markdown()}"
    print(text)
    report.write("features", text, {})


def count(arguments: list[str]) -> None:
    build_gateway("release")
    build_tools(counts.TOOLS)
    counts.check(accept=arguments == ["--accept"])


def smoke(_: list[str]) -> None:
    build_gateway("debug")
    build_tools("debug")
    names = ("gateway", "naive", "lean")
    chosen = {target.name: target for target in targets("debug") if target.name in names}
    for work in tables.peers(chosen, FULL):
        if "5,000" not in work.title:
            tables.measure(work, SMOKE, "debug", load=(2, 2))
    curves.measure("debug", SMOKE.single, short=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
