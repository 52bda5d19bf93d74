"""The commands that the documentation shows, and what they print.

The documentation shows a gateway on its default address. The tests replace that
address with the one of their gateway.
"""

import re
import subprocess
from collections.abc import Iterator

SHOWN_ADDRESS = "127.0.0.1:50051"

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

# Values that differ from run to run, and the names that stand for them.
DIFFERS = {
    rf'"requestId": "({UUID})"': "<request id>",
    rf'"idempotencyKey": "({UUID})"': "<idempotency key>",
    r'"subject": "([0-9a-f]{16})"': "<fingerprint of the key>",
}


def output(command: str, address: str) -> str:
    """Runs a command and returns its output, with names for values that differ."""
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
    """Yields the commands of a page's `console` blocks, each with its output.

    A command starts with `$ ` and ends with the line that closes its quotes.
    """
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = example.splitlines(keepends=True)
            command = lines.pop(0)
            while command.count("'") % 2 or command.endswith("\\\n"):
                command += lines.pop(0)
            yield command, "".join(lines)


def matches(shown: str, printed: str) -> bool:
    """Compares an output with a page, where a line `…` stands for any lines."""
    parts = (re.escape(part) for part in shown.split("…\n"))
    return re.fullmatch(r"(?:.*\n)*?".join(parts), printed) is not None
