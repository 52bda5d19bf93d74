"""The commands that the documentation shows, and what they print.

Documentation shows a gateway on its default address. The commands are run on
whatever address a gateway has taken.
"""

import re
import subprocess
from collections.abc import Iterator

SHOWN_ADDRESS = "127.0.0.1:50051"

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

# What differs from call to call, and what is shown in its place.
DIFFERS = {
    rf'"requestId": "({UUID})"': "<request id>",
    rf'"idempotencyKey": "({UUID})"': "<idempotency key>",
    r'"subject": "([0-9a-f]{16})"': "<fingerprint of the key>",
}


def output(command: str, address: str) -> str:
    """Runs a command, and returns what a terminal would show, made comparable."""
    done = subprocess.run(
        ["bash", "-c", command.replace(SHOWN_ADDRESS, address)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    shown = done.stdout.expandtabs().replace(address, SHOWN_ADDRESS)
    for pattern, name in DIFFERS.items():
        for value in set(re.findall(pattern, shown)):
            shown = shown.replace(value, name)
    return "".join(f"{line.rstrip()}\n" for line in shown.splitlines())


def examples(page: str) -> Iterator[tuple[str, str]]:
    """Finds the commands of a page's `console` blocks, each with its output.

    A command starts with `$ ` and goes on until its quotes are closed.
    """
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = example.splitlines(keepends=True)
            command = lines.pop(0)
            while command.count("'") % 2 or command.endswith("\\\n"):
                command += lines.pop(0)
            yield command, "".join(lines)


def matches(shown: str, printed: str) -> bool:
    """Compares an output with what a page shows, where a line `…` is any lines."""
    parts = (re.escape(part) for part in shown.split("…\n"))
    return re.fullmatch(r"(?:.*\n)*?".join(parts), printed) is not None
