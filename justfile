# `just check` is what CI runs. A check is a stage of `.ci/run`, which needs no
# just.

set shell := ["bash", "-euc"]

# Lists the verbs.
default:
    @just --list

# Checks everything.
check:
    .ci/run

# Formats everything that has a formatter.
fmt:
    cargo fmt
    gofmt -w tests/clients/go
    source .ci/tools; use_python .ci/requirements.txt; buf format --write; ruff format tests/clients

# Checks form: formatting, lints, dependencies, spelling.
lint:
    .ci/run fmt lint proto scripts deny typos

# Runs the tests, all or those whose name holds a word.
test *words:
    cargo test {{ words }}

# Builds the release binary, without paths of this machine in it. For one without
# the sandbox and the demo: `just release --no-default-features`.
release *flags:
    .ci/release {{ flags }}

# Builds the documentation.
doc:
    .ci/run doc

# Measures; or, with words, only the benchmarks whose name holds one.
bench *words:
    cargo bench -- {{ words }}

# Fuzzes every target, each for a while.
fuzz seconds="60":
    FUZZ_SECONDS={{ seconds }} .ci/run fuzz

# Measures what peers that misbehave cost the gateway and its other callers; or,
# with a word, only the attacks whose name holds it.
floods word="":
    cargo test --release --test load -- floods '{{ word }}'

# Restarts two gateways in turn, behind a caller that does not retry.
drain restarts="100":
    cargo test --release --test load -- drain {{ restarts }}

# Calls the gateway with grpcurl, buf, Python, Node.js and Go.
clients:
    .ci/run clients

# Writes docs/FAILURES.md anew, from what grpcurl prints.
failures:
    cargo build
    source .ci/tools; use_go .ci; python3 -B tests/clients/failures.py

# Looks for known vulnerabilities; downloads the advisory database.
advisories:
    source .ci/tools; use_cargo_deny; cargo deny check advisories

# Looks for changes to the contract, since main, that would break a caller.
breaking:
    source .ci/tools; use_python .ci/requirements.txt; buf breaking --against '.git#branch=main,subdir=proto'

# Creates shares while everything fails, and looks for lost and doubled ones.
exactly-once creates="20000" seed="20250918":
    EXACTLY_ONCE_CREATES={{ creates }} EXACTLY_ONCE_SEED={{ seed }} cargo test --release --test integration exactly_once -- --nocapture
