"""The JSON schema of the configuration file accepts what the gateway accepts."""

import json
import re
import subprocess
import tomllib

import pytest
from jsonschema import Draft7Validator

from conftest import BINARY
from contract import ROOT

SCHEMA = json.loads((ROOT / "docs/configuration.schema.json").read_text())
PAGE = (ROOT / "docs/configuration.md").read_text()
EXAMPLE = re.search(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[1]

VALID = [
    EXAMPLE,
    "timeout = '250ms'",
    "timeout = '1.5m'",
    "timeout = '30'",
    "timeout = 30",
    "timeout = 0.5",
    "answer-limit = '4MB'",
    "answer-limit = 4096",
    "attempts = 2",
    "sandbox = true",
    "auth-mode = 'static'",
    "rpc-timeout = ['A=1s', 'B=1m']",
    "rpc-timeout = 'A=1s'",
]

INVALID = [
    "timeout = '5 s'",
    "timeout = '1d'",
    "timeout = true",
    "timeout = -1",
    "answer-limit = '4M'",
    "answer-limit = 0",
    "answer-limit = 0.5",
    "attempts = '2'",
    "attempts = -1",
    "sandbox = 'true'",
    "auth-mode = 'none'",
    "rpc-timeout = [1]",
    "timeouts = '5s'",
    "config = 'other.toml'",
]


def printed(*arguments):
    """Runs `config` and returns its outcome."""
    return subprocess.run(
        [BINARY, "config", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("file", VALID + INVALID)
def test_schema_and_gateway_agree(tmp_path, file):
    path = tmp_path / "gateway.toml"
    path.write_text(file)

    done = printed("print", "--config", path)

    assert (done.returncode == 0) == (file in VALID), done.stderr
    assert Draft7Validator(SCHEMA).is_valid(tomllib.loads(file)) == (file in VALID)


def test_schema_is_one_and_accepts_the_defaults():
    Draft7Validator.check_schema(SCHEMA)
    defaults = tomllib.loads(printed("print", "--default").stdout)
    assert defaults
    Draft7Validator(SCHEMA).validate(defaults)
    assert json.loads(printed("schema").stdout) == SCHEMA
