"""Plots as SVG, and how their numbers are written."""

import html
import math
from dataclasses import dataclass

from curves import Curve, Lines
from targets import Target

DASH = "–"


def duration(microseconds: float | None) -> str:
    if microseconds is None:
        return DASH
    if microseconds < 1_000:
        return f"{microseconds:,.0f} µs"
    return f"{three_digits(microseconds / 1_000)} ms"


def three_digits(value: float) -> str:
    return f"{value:,.{max(0, 2 - int(math.log10(value)))}f}"


WIDTH, LABEL, BAR, GAP = 760, 150, 16, 30
COLOURS = {
    "gateway": "#1f6feb",
    "envoy": "#8250df",
    "vanguard": "#bf8700",
    "naive": "#6e7781",
    "lean": "#afb8c1",
}


def bars(results: list[dict], targets: list[Target]) -> str:
    """Returns bars of the CPU time per RPC as SVG; the axis is logarithmic."""
    values = [taken["cpu"] for result in results for taken in result["contenders"].values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(value: float) -> float:
        return LABEL + (math.log10(value) - low) / (high - low) * (WIDTH - LABEL - 80)

    marks, y = [], 30
    for result in results:
        marks.append(text(0, y, result["work"], 'font-weight="bold"'))
        y += 10
        for target in targets:
            cpu = result["contenders"][f"{target.name}, 1 cores"]["cpu"]
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
    return drawing(WIDTH, y + 10, [title, *grid, *marks])


def text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y}" {more}>{html.escape(words)}</text>'


TOP, LEFT, BOTTOM, RIGHT, HEIGHT = 40, 70, 300, 640, 345


def lines(curve: Curve, measured: Lines) -> str:
    """Returns the lines of a curve; both axes are logarithmic."""
    points = [point for line in measured.values() for point in line]
    x = Axis.of([x for x, _ in points], LEFT, RIGHT)
    y = Axis.of([y for _, y in points], BOTTOM, TOP)
    marks = [text(0, 12, f"{curve.title}; both axes are logarithmic")]
    for power in range(x.low, x.high + 1):
        at = x.at(10**power)
        marks.append(f'<path d="M{at:.1f} {TOP}V{BOTTOM}" stroke="#d0d7de"/>')
        marks.append(text(at - 4, BOTTOM + 16, f"{10**power:,}"))
    for power in range(y.low, y.high + 1):
        at = y.at(10**power)
        marks.append(f'<path d="M{LEFT} {at:.1f}H{RIGHT}" stroke="#d0d7de"/>')
        marks.append(text(0, round(at + 4), quantity(10**power, curve.y)))
    marks.append(text(RIGHT - 140, BOTTOM + 34, curve.x))
    for (name, line), colour in zip(measured.items(), COLOURS.values(), strict=False):
        places = [(x.at(size), y.at(value)) for size, value in line]
        path = "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
        marks.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for across, down in places:
            marks.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{colour}"/>')
        across, down = places[-1]
        marks.append(text(across + 8, round(down + 4), name, f'fill="{colour}"'))
    return drawing(WIDTH, HEIGHT, marks)


def quantity(value: float, unit: str) -> str:
    return duration(value) if unit == "µs" else f"{value:,} {unit}"


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis between two powers of ten."""

    low: int
    high: int
    begin: float
    end: float

    @staticmethod
    def of(values: list[float], begin: float, end: float) -> "Axis":
        low = math.floor(math.log10(min(values)))
        return Axis(low, max(low + 1, math.ceil(math.log10(max(values)))), begin, end)

    def at(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)


def drawing(width: int, height: float, marks: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -5 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#1f2328">\n'
        f'<rect x="-10" y="-5" width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(marks)
        + "\n</svg>\n"
    )
