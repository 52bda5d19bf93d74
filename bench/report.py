"""The figures as tables and plots, for docs/performance.md."""

import datetime
import os
import platform
import subprocess

import plots
from curves import Curve, Lines
from plots import duration
from tables import LONG, Times, Work
from targets import ROOT, Target

PAGE = ROOT / "docs/performance.md"
BARS = "performance.svg"

COLUMNS = [
    "CPU per RPC",
    "times less than Envoy",
    "times the lean reference",
    "RPCs per second",
    "core busy",
    "p50",
    "p99",
    "p99.9",
    "p50, one in flight",
    "memory idle",
    "peak",
]


def markdown(
    results: list[dict],
    targets: list[Target],
    others: list[tuple[Work, dict]],
    times: Times,
    load_average: float,
) -> str:
    """Returns the tables, one per work, below a line on the machine."""
    parts = [conditions(times, load_average)]
    # The names of contenders have the number of cores in them.
    names = {f"{target.name}, 1 cores": target.title for target in targets}
    for result in results:
        parts += [heading(result), table(result, names)]
    for work, result in others:
        parts.append(heading(result))
        titles = {one.name: one.target.title for one in work.contenders}
        if any(len(one.cores) > 1 for one in work.contenders):
            parts.append(of_cores(work, result))
        elif f"{LONG:,}" in work.title:
            parts.append(of_stream(titles, result))
        else:
            parts.append(table(result, titles))
    return "\n".join(parts)


def heading(result: dict) -> str:
    title = result["work"][0].upper() + result["work"][1:]
    in_flight, rounds = result["in_flight"], result["rounds"]
    return (
        f"### {title}\n\n{in_flight} RPC{'s' * (in_flight > 1)} in flight; "
        f"{rounds} round{'s' * (rounds > 1)}.\n"
    )


def table(result: dict, titles: dict[str, str]) -> str:
    measured = result["contenders"]
    lines = [["target", *COLUMNS], ["---"] + ["---:"] * len(COLUMNS)]
    for name, taken in measured.items():
        lines.append(
            [
                titles[name],
                duration(taken["cpu"]),
                ratio(measured.get("envoy, 1 cores"), taken),
                ratio(taken, measured.get("lean, 1 cores")),
                f"{taken['rate']:,.0f}",
                f"{taken['busy'] * 100:.0f} %",
                *[duration(taken[name]) for name in ("p50", "p99", "p999", "single")],
                *[memory(taken[name]) for name in ("idle", "peak")],
            ]
        )
    return rows(lines)


def of_cores(work: Work, result: dict) -> str:
    """Returns what the cores of a contender could do if they did nothing else."""
    columns = ["CPU per RPC", "capacity", "times one core", "RPCs per second", "cores busy"]
    lines = [["cores", *columns], ["---:"] * (len(columns) + 1)]
    capacities = {
        len(one.cores): len(one.cores) / result["contenders"][one.name]["cpu"] * 1e6
        for one in work.contenders
    }
    for one in work.contenders:
        taken, count = result["contenders"][one.name], len(one.cores)
        lines.append(
            [
                str(count),
                duration(taken["cpu"]),
                f"{capacities[count]:,.0f} per second",
                f"{capacities[count] / capacities[1]:.2f}",
                f"{taken['rate']:,.0f}",
                f"{taken['busy']:.2f}",
            ]
        )
    return rows(lines)


def of_stream(titles: dict[str, str], result: dict) -> str:
    measured = result["contenders"]
    *_, relay = measured.values()
    columns = ["time", "times the relay", "first message", "CPU", "memory idle", "peak above it"]
    lines = [["target", *columns], ["---"] + ["---:"] * len(columns)]
    for name, taken in measured.items():
        # The time of a slice with one RPC in flight, if it has too few for a median.
        time, reference = (one["p50"] or 1e6 / one["rate"] for one in (taken, relay))
        lines.append(
            [
                titles[name],
                duration(time),
                f"{time / reference:.2f}",
                duration(taken["first"]),
                duration(taken["cpu"]),
                memory(taken["idle"]),
                memory(taken["peak"] - taken["idle"]),
            ]
        )
    return rows(lines)


def rows(lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def memory(kib: float) -> str:
    return f"{kib / 1024:,.0f} MiB"


def ratio(over: dict | None, under: dict | None) -> str:
    return f"{over['cpu'] / under['cpu']:.2f}" if over and under else plots.DASH


def conditions(times: Times, load_average: float) -> str:
    """Returns the conditions of the tables, as one paragraph."""
    return (
        f"{machine()} Medians of {times.rounds} slices of {times.loaded} s, and of "
        f"{times.single} s with one RPC in flight, each after {times.warm_up} s. "
        f"Load average at the start: {load_average:.2f}.\n"
    )


def machine() -> str:
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    return (
        f"{datetime.date.today()}, commit {output('git', 'describe', '--always', '--dirty')}, "
        f"{model.strip() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"Linux {platform.release()}, {' '.join(output('rustc', '--version').split()[:2])}, "
        f"{' '.join(output('go', 'version').split()[2:3])}."
    )


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write(section: str, text: str, files: dict[str, str]) -> None:
    """Replaces a section of the page, and the files of its plots."""
    begin, end = f"<!-- {section} -->\n", f"<!-- /{section} -->\n"
    page = PAGE.read_text()
    before, rest = page.split(begin)
    _, after = rest.split(end)
    PAGE.write_text(f"{before}{begin}{text}{end}{after}")
    for name, plot in files.items():
        (PAGE.parent / name).write_text(plot)


def curves(measured: list[tuple[Curve, Lines]]) -> tuple[str, dict[str, str]]:
    """Returns the text and the plots of the curves."""
    parts, files = [f"{machine()}\n"], {}
    for curve, lines in measured:
        name = f"performance-{curve.name}.svg"
        files[name] = plots.lines(curve, lines)
        parts.append(f"### {curve.title}\n\n![{curve.title}]({name})\n\n{curve.explain(lines)}\n")
    text = "\n".join(parts)
    print(text)
    return text, files
