"""Writes docs/FAILURES.md: what grpcurl shows of each failure.

    python tests/clients/failures.py [--check] [BINARY]

Each call is the first one on a new gateway. With `--check` the
page is compared, not written. Needs grpcurl in PATH, and a built gateway.
"""

import difflib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway import PARTNER_KEY, USER_KEY, serving
from pages import SHOWN_ADDRESS, output

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "FAILURES.md"
BINARY = ROOT / "target" / "debug" / "polytomic-gateway"
SERVICE = "polytomic.connections.v1.PartnerSharedConnectionsService"

# The sandbox's seed.
OWNER = "248df4b7-aa70-47b8-a036-33ac447e668d"
CHILD = "c2f39b18-0a64-4d7c-b1e9-5d8c6e7f4d03"
UNKNOWN = "9d3c1f0e-5b7a-4c2d-8e6f-1a0b2c3d4e5f"

# Nothing listens on this port, which needs a privilege.
NOBODY = ("--upstream-url", "http://127.0.0.1:1")


@dataclass(frozen=True)
class Case:
    """A call that fails: what happens, in which RPC, on which connection."""

    happens: str
    rpc: str
    connection: str = OWNER
    key: str | None = PARTNER_KEY
    flags: tuple[str, ...] = ("--sandbox",)
    child: str = CHILD

    @property
    def title(self) -> str:
        kind = "create" if self.rpc.startswith("Create") else "list"
        return f"{self.happens}, on a {kind}"

    @property
    def command(self) -> str:
        request = {"org_id": OWNER, "connection_id": self.connection}
        if self.rpc.startswith("Create"):
            request["child_organization_id"] = self.child
        fields = json.dumps(request, indent=2)
        credentials = f"-H 'authorization: Bearer {self.key}' " if self.key else ""
        return f"grpcurl -plaintext {credentials}-d '{fields}' {SHOWN_ADDRESS} {SERVICE}/{self.rpc}"


def listing(happens: str, connection: str = OWNER, **others) -> Case:
    return Case(happens, "ListPartnerSharedConnections", connection, **others)


def creating(happens: str, connection: str = OWNER, **others) -> Case:
    return Case(happens, "CreatePartnerSharedConnection", connection, **others)


def failing(digits: str) -> str:
    """Returns a connection that the sandbox keeps for one kind of failure."""
    return f"00000000-0000-4000-8000-000000000{digits}"


SECTIONS = {
    "Documented errors": [
        listing("403 Forbidden", failing("403")),
        creating("403 Forbidden", failing("403")),
        listing("404 Not Found", UNKNOWN),
        creating("404 Not Found", UNKNOWN),
        listing("422 Unprocessable Entity", failing("422")),
        creating("422 Unprocessable Entity", failing("422")),
        listing("500 Internal Server Error", failing("500")),
        creating("500 Internal Server Error", failing("500")),
    ],
    "Errors that any HTTP API may return": [
        creating("400 Bad Request", failing("400")),
        listing("401 Unauthorized", failing("401")),
        creating("409 Conflict", failing("409"), flags=("--sandbox", "--attempts", "1")),
        creating("429 Too Many Requests with Retry-After", failing("429")),
        listing("502 Bad Gateway with an HTML page", failing("502")),
        creating("502 Bad Gateway with an HTML page", failing("502")),
        creating("503 Service Unavailable with Retry-After", failing("503")),
        creating("504 Gateway Timeout", failing("504")),
    ],
    "No response, or an unusable one": [
        creating("connection refused", flags=NOBODY),
        listing("connection reset", failing("002")),
        creating("connection reset", failing("002")),
        creating("half a response", failing("003")),
        listing("no response in time", failing("001"), flags=("--sandbox", "--timeout", "1")),
        creating("no response in time", failing("001"), flags=("--sandbox", "--timeout", "1")),
        listing("a redirect", failing("302")),
        listing("an HTML page with 200 OK", failing("200")),
        creating("an HTML page with 200 OK", failing("200")),
        creating("200 OK without the id of the copy", failing("004")),
    ],
    "Rejected by the gateway": [
        listing("no credentials", key=None),
        listing("an unknown key", key="nobody-knows-it"),
        listing("the key of a user", key=USER_KEY),
        creating("invalid fields", "..", child=""),
    ],
}

HEAD = """\
# Failures, as a client sees them

What grpcurl prints for each failure. The message says what happened, who has to act and whether a retry can help;
programs read the details. [STATUSES.md](STATUSES.md) has the rules.

`just failures` writes this page, and CI compares it. Each call is the first one on a new gateway, started with the
command above it. IDs such as `00000000-0000-4000-8000-000000000502` are connections of the sandbox that always fail.
`<request id>`, `<idempotency key>` and `<fingerprint of the key>` stand for values that differ from run to run.

| what happens | code | reason | outcome | retryable |
| --- | --- | --- | --- | --- |
"""


def page(binary: Path) -> str:
    head, body = HEAD, ""
    for section, cases in SECTIONS.items():
        body += f"\n## {section}\n"
        for case in cases:
            with serving(binary, *case.flags) as address:
                printed = output(case.command, address)
            head += summary(case, printed)
            start = " ".join(("cargo run -- serve", *case.flags))
            body += f"\n### {sentence(case.title)}\n\n`{start}`\n\n"
            body += f"```console\n$ {case.command}\n{printed}```\n"
    return head + body


def summary(case: Case, printed: str) -> str:
    """Writes the row of a failure, from what was printed."""
    found = {
        name: re.search(pattern, printed)[1]
        for name, pattern in {
            "code": r"Code: (\w+)",
            "reason": r'"reason": "(\w+)"',
            "outcome": r'"outcome": "(\w+)"',
            "retryable": r'"retryable": "(\w+)"',
        }.items()
    }
    title = sentence(case.title)
    anchor = re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
    retryable = {"true": "yes", "false": "no"}[found["retryable"]]
    return (
        f"| [{title}](#{anchor}) | {found['code']} | `{found['reason']}` "
        f"| `{found['outcome']}` | {retryable} |\n"
    )


def sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:]


def changes(binary: Path = BINARY) -> str:
    """Returns how the page would change; nothing if it is true."""
    old, new = PAGE.read_text().splitlines(), page(binary).splitlines()
    return "\n".join(difflib.unified_diff(old, new, "docs/FAILURES.md", "now", lineterm=""))


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    rest = [Path(argument) for argument in arguments if argument != "--check"]
    binary = rest[0] if rest else BINARY
    if not check:
        PAGE.write_text(page(binary))
        return 0
    if found := changes(binary):
        print(found)
        print("\nThe page is out of date: run `just failures`.", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
