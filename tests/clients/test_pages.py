"""What the documentation shows is what happens."""

import failures
from conftest import BINARY
from contract import ROOT
from gateway import serving
from pages import examples, matches, output


def test_the_readmes_calls_print_what_it_shows():
    found = list(examples((ROOT / "README.md").read_text()))
    assert found

    with serving(BINARY) as address:
        for command, shown in found:
            printed = output(command, address)
            assert matches(shown, printed), f"{command}prints\n{printed}"


def test_the_failures_are_as_the_page_shows_them():
    changes = failures.changes(BINARY)

    assert not changes, f"run `just failures`; what would change:\n{changes}"
