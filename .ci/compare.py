"""Compares benchmarks of this tree with an earlier commit's.

python3 -B .ci/compare.py COMMIT [ROUNDS]. The two run in turn, so that a busy machine
slows both; printed is the ratio of their medians, above 1 if this tree is slower. A
benchmark that the commit lacks is copied there, and left out if it does not compile.
"""

import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

BENCHES = ["transcode", "gateway", "rpc"]
ROOT = Path(__file__).resolve().parent.parent
UNITS = {"ns": 1e-3, "µs": 1, "ms": 1e3, "s": 1e6}


def main() -> None:
    commit, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    earlier = check_out(commit)
    pairs = {name: (build(earlier, name), build(ROOT, name)) for name in BENCHES}
    ratios: dict[str, list[float]] = {}
    for turn in range(rounds):
        for name, (before, now) in pairs.items():
            if before is None or now is None:
                continue
            # The first of the two alternates.
            both = [before, now] if turn % 2 else [now, before]
            medians = {program: run(program) for program in both}
            for case in medians[before].keys() & medians[now].keys():
                ratio = medians[now][case] / medians[before][case]
                ratios.setdefault(f"{name} {case}", []).append(ratio)
    for case, all_of in sorted(ratios.items()):
        low, high = min(all_of), max(all_of)
        print(f"{case:40} {statistics.median(all_of):.3f} ({low:.3f} to {high:.3f})")


def check_out(commit: str) -> Path:
    """Lays the commit's files out, with the benchmarks that it lacks."""
    name = subprocess.check_output(["git", "rev-parse", commit], cwd=ROOT, text=True)
    folder = ROOT / "target" / "compare" / name.strip()
    if not folder.exists():
        folder.mkdir(parents=True)
        archive = subprocess.check_output(["git", "archive", commit], cwd=ROOT)
        subprocess.run(["tar", "-x"], input=archive, cwd=folder, check=True)
        declared = (folder / "Cargo.toml").read_text()
        for bench in BENCHES:
            if f'name = "{bench}"' not in declared:
                declared += f'\n[[bench]]\nname = "{bench}"\nharness = false\n'
        (folder / "Cargo.toml").write_text(declared)
        for file in (ROOT / "benches").glob("*.rs"):
            if not (folder / "benches" / file.name).exists():
                shutil.copy(file, folder / "benches")
    return folder


def build(folder: Path, bench: str) -> Path | None:
    """Builds a benchmark; the two trees share their dependencies."""
    command = ["cargo", "bench", "--no-run", "--bench", bench]
    command += ["--target-dir", str(ROOT / "target")]
    built = subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True
    )
    if built.returncode != 0:
        print(f"{bench}: does not compile in {folder}")
        return None
    program = re.search(r"Executable .*\((.*)\)", built.stderr)
    return folder / program[1]


def run(program: Path) -> dict[str, float]:
    """Returns the medians in microseconds, as divan prints them."""
    output = subprocess.check_output([program, "--bench"], text=True)
    medians, parent = {}, ""
    for line in output.splitlines():
        if found := re.match(r"[│ ]*[├╰]─ (\S+)(.*)", line):
            nested, name = not line.startswith(("├", "╰")), found[1]
            # Within a group, a bar leads the line: it is no column.
            columns = found[2].split("│")
            median = re.fullmatch(r"([\d.]+) (ns|µs|ms|s)", columns[2].strip())
            if not nested:
                parent = name
            if median:
                case = f"{parent} {name}" if nested else name
                medians[case] = float(median[1]) * UNITS[median[2]]
    return medians


if __name__ == "__main__":
    main()
