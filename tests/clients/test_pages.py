"""The documentation's examples print what it shows."""

import pytest

import failures
from conftest import BINARY
from contract import ROOT
from gateway import serving
from pages import examples, matches, output

# A page that has examples. docs/FAILURES.md is written anew and compared whole.
PAGES = ["README.md", "docs/RPCS.md"]


@pytest.mark.parametrize("page", PAGES)
def test_examples_print_what_the_page_shows(page):
    found = list(examples((ROOT / page).read_text()))
    assert found

    with serving(BINARY) as address:
        for command, shown in found:
            printed = output(command, address)
            assert matches(shown, printed), f"{command}prints\n{printed}"


def test_every_page_with_examples_is_tested():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    with_examples = {
        str(page.relative_to(ROOT)) for page in pages if list(examples(page.read_text()))
    }
    assert with_examples == {*PAGES, "docs/FAILURES.md"}


def test_failures_page_is_up_to_date():
    changes = failures.changes(BINARY)

    assert not changes, f"run `just failures`; what would change:\n{changes}"
