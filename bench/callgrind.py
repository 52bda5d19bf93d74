"""Reads a profile of callgrind, and gives each instruction to a source file of ours."""

import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

# A source file of the gateway, as `.ci/release` writes its path.
OURS = re.compile(r"(?:^|/)src/([a-z0-9_/]+)\.rs")
LIBRARIES = re.compile(r"/(?:registry|rustc|rust|lib|cargo)/")
# Costs are passed on from callers to the libraries that they call, round after round,
# until no share changes by more than this.
CHANGE = 0.001


@dataclass
class Profile:
    # Per function and address in the binary, or 0 in a shared library.
    own: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    # Per calling function, address of the call, and called function.
    calls: dict[tuple[str, int, str], int] = field(default_factory=lambda: defaultdict(int))


def read(file: Path, binary: Path) -> Profile:
    """Reads a file that `--dump-instr=yes` wrote."""
    profile, names = Profile(), {"fn": {}, "ob": {}}
    place = {"fn": "", "cfn": "", "ob": "", "cob": ""}
    address, called = 0, False

    def name(kind: str, text: str) -> str:
        number, _, long = text.partition(" ")
        if long:
            names[kind][number] = long
        return names[kind][number]

    with file.open() as lines:
        for line in lines:
            key, equals, text = line.rstrip().partition("=")
            if equals and key in place:
                place[key] = name(key[-2:], text)
            elif equals and key == "calls":
                called = True
            elif line[:1] in "0123456789+-*":
                position, _, cost = line.split()
                address = moved(address, position)
                at = address if place["ob"].endswith(f"/{binary.name}") else 0
                if called:
                    profile.calls[place["fn"], at, place["cfn"]] += int(cost)
                else:
                    profile.own[place["fn"], at] += int(cost)
                called = False
    return profile


def moved(address: int, position: str) -> int:
    """Returns the address that a position stands for, as seen from the last one."""
    match position[0]:
        case "*":
            return address
        case "+":
            return address + int(position[1:], 0)
        case "-":
            return address - int(position[1:], 0)
    return int(position, 16)


def by_file(profile: Profile, binary: Path) -> dict[str, float]:
    """Returns the cost of each source file, without `.rs`; that of no file is ''."""
    addresses = {at for _, at in profile.own} | {at for _, at, _ in profile.calls}
    files = sources(binary, sorted(addresses - {0}))
    # Of each function, the parts of its library code that callers are charged for.
    callers = defaultdict(list)
    for (function, at, called), cost in profile.calls.items():
        # What a function calls of itself changes nothing.
        if function != called or files.get(at):
            callers[called].append((files.get(at), function, cost))
    shares, changed = {}, True
    while changed:
        before = shares
        shares = {called: divided(entries, before) for called, entries in callers.items()}
        changed = any(
            abs(share - before.get(called, {}).get(file, 0)) > CHANGE
            for called, parts in shares.items()
            for file, share in parts.items()
        )
    costs = defaultdict(float)
    for (function, at), cost in profile.own.items():
        if files.get(at):
            costs[files[at]] += cost
            continue
        for file, share in shares.get(function, {"": 1.0}).items():
            costs[file] += cost * share
    return costs


def divided(entries: list, shares: dict) -> dict[str, float]:
    total = sum(cost for _, _, cost in entries)
    parts = defaultdict(float)
    for file, function, cost in entries:
        for owner, share in ({file: 1.0} if file else shares.get(function, {"": 1.0})).items():
            parts[owner] += share * cost / total if total else 0
    return parts


def sources(binary: Path, addresses: list[int]) -> dict[int, str]:
    """Returns the innermost source file of ours that an address is compiled from."""
    text = "\n".join(hex(address) for address in addresses)
    command = ["addr2line", "--inlines", "--addresses", "--exe", binary]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    files, address = {}, 0
    for line in done.stdout.splitlines():
        if line.startswith("0x"):
            address = int(line, 16)
        elif address not in files and not LIBRARIES.search(line):
            ours = OURS.search(line)
            if ours:
                files[address] = ours[1]
    return files
