"""The figures as a table and as a plot, for docs/performance.md."""

import datetime
import html
import math
import os
import platform
import subprocess

from targets import ROOT

PAGE = ROOT / "docs/performance.md"
PLOT = ROOT / "docs/performance.svg"
DASH = "–"
BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->\n"

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


def markdown(results: list[dict], targets: list, mode, load_average: float) -> str:
    """Returns the tables, one per work, below a line on the machine."""
    parts = [conditions(mode, load_average)]
    for result in results:
        parts.append(f"### {result['work'][0].upper()}{result['work'][1:]}\n")
        parts.append(f"{result['in_flight']} RPCs in flight.\n")
        parts.append(table(result, targets))
    return "\n".join(parts)


def table(result: dict, targets: list) -> str:
    measured = result["targets"]
    lines = [["target", *COLUMNS], ["---"] + ["---:"] * len(COLUMNS)]
    for target in targets:
        taken = measured[target.name]
        lines.append(
            [
                target.title,
                duration(taken["cpu"]),
                ratio(measured.get("envoy"), taken),
                ratio(taken, measured.get("lean")),
                f"{taken['rate']:,.0f}",
                f"{taken['busy'] * 100:.0f} %",
                *[duration(taken[name]) for name in ("p50", "p99", "p999", "single")],
                *[f"{taken[name] / 1024:,.0f} MiB" for name in ("idle", "peak")],
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def duration(microseconds: float | None) -> str:
    if microseconds is None:
        return DASH
    if microseconds < 1_000:
        return f"{microseconds:,.0f} µs"
    return f"{three_digits(microseconds / 1_000)} ms"


def three_digits(value: float) -> str:
    return f"{value:,.{max(0, 2 - int(math.log10(value)))}f}"


def ratio(over: dict | None, under: dict | None) -> str:
    return f"{over['cpu'] / under['cpu']:.2f}" if over and under else DASH


def conditions(mode, load_average: float) -> str:
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    first, load, single = mode.times
    return (
        f"{datetime.date.today()}, commit {output('git', 'describe', '--always', '--dirty')}, "
        f"{model.strip() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"Linux {platform.release()}, {' '.join(output('rustc', '--version').split()[:2])}, "
        f"{' '.join(output('go', 'version').split()[2:3])}. Medians of {mode.rounds} slices of "
        f"{load} s, and of {single} s with one RPC in flight, each after {first} s. "
        f"Load average at the start: {load_average:.2f}.\n"
    )


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write(text: str, plot: str) -> None:
    """Replaces the figures of the page."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    image = f"![CPU time per RPC of each target]({PLOT.name})\n"
    PAGE.write_text(f"{before}{BEGIN}{image}\n{text}{END}{after}")
    PLOT.write_text(plot)


WIDTH, LABEL, BAR, GAP = 760, 150, 16, 30
COLOURS = {
    "gateway": "#1f6feb",
    "envoy": "#8250df",
    "vanguard": "#bf8700",
    "naive": "#6e7781",
    "lean": "#afb8c1",
}


def plot(results: list[dict], targets: list) -> str:
    """Returns bars of the CPU time per RPC as SVG; the axis is logarithmic."""
    values = [taken["cpu"] for result in results for taken in result["targets"].values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(value: float) -> float:
        return LABEL + (math.log10(value) - low) / (high - low) * (WIDTH - LABEL - 80)

    marks, y = [], 30
    for result in results:
        marks.append(text(0, y, result["work"], 'font-weight="bold"'))
        y += 10
        for target in targets:
            cpu = result["targets"][target.name]["cpu"]
            end = x(cpu)
            marks.append(
                f'<rect x="{LABEL}" y="{y}" width="{end - LABEL:.1f}" height="{BAR - 3}" '
                f'fill="{COLOURS[target.name]}"/>'
            )
            marks.append(text(0, y + 11, target.title))
            marks.append(text(end + 5, y + 11, duration(cpu)))
            y += BAR
        y += GAP
    grid = []
    for power in range(low, high + 1):
        at = x(10**power)
        grid.append(f'<path d="M{at:.1f} 15V{y - GAP}" stroke="#d0d7de"/>')
        grid.append(text(at - 10, y - 10, duration(10**power)))
    title = text(0, 12, "CPU time per RPC, logarithmic; less is better")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -5 {WIDTH} {y + 10}" '
        'font-family="sans-serif" font-size="12" fill="#1f2328">\n'
        f'<rect x="-10" y="-5" width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join([title, *grid, *marks])
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y}" {more}>{html.escape(words)}</text>'
