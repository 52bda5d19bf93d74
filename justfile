# `just check` runs what CI runs. Each check is a stage of `.ci/run`, which does not
# need just.

set shell := ["bash", "-euc"]

# Lists the recipes.
default:
    @just --list

# Checks everything.
check:
    .ci/run

# Formats Rust, Go, Python and `.proto` files.
fmt:
    cargo fmt --all
    gofmt -w tests/clients/go bench/vanguard
    source .ci/tools; use_python .ci/requirements.txt; buf format --write; ruff format tests/clients bench .ci/compare.py

# Checks formatting, lints, dependencies and spelling.
lint:
    .ci/run fmt lint proto scripts deny typos

# Runs all tests, or those whose names contain a word.
test *words:
    cargo test {{ words }}

# Builds the release binary, without paths of this machine in it. For one without
# the sandbox and the demo: `just release --no-default-features`.
release *flags:
    .ci/release {{ flags }}

# Builds the documentation.
doc:
    .ci/run doc

# Measures whole RPCs through the gateway and its peers, and writes docs/performance.md;
# needs an idle machine. `just bench quick` takes three minutes, and prints only.
bench *mode:
    source .ci/tools; use_valgrind; use_strace; use_python bench/requirements.txt; python3 -B bench/run.py {{ mode }}

# Counts instructions and system calls of whole RPCs and compares them with the
# baseline; --accept rewrites it.
counts *accept:
    source .ci/tools; use_valgrind; use_strace; python3 -B bench/run.py counts {{ accept }}

# Runs all microbenchmarks of time, or those whose names contain a word.
microbench *words:
    cargo bench --bench auth --bench gateway --bench rpc --bench transcode -- {{ words }}

# Counts instructions of parts and compares them with the baseline; --accept rewrites it.
instructions *accept:
    .ci/instructions {{ accept }}

# Prints the ratios of run times, this tree to an earlier commit; the two alternate.
compare commit rounds="5":
    python3 -B .ci/compare.py {{ commit }} {{ rounds }}

# Fuzzes every target for this many seconds.
fuzz seconds="600":
    FUZZ_SECONDS={{ seconds }} .ci/run fuzz

# Adds those findings of `just fuzz` to the committed corpus that reach new code.
corpus:
    #!/usr/bin/env bash
    set -eu
    source .ci/tools; use_cargo_fuzz
    for target in $(cargo +nightly fuzz list); do
        cargo +nightly fuzz run --sanitizer none --target-dir target/fuzz "$target" -- \
            -merge=1 "fuzz/corpus/$target" "target/fuzz/corpus/$target"
    done

# Measures what misbehaving peers cost the gateway and its clients; with a word, only
# the attacks whose names contain it.
floods word="":
    cargo test --release --test load -- floods '{{ word }}'

# Has 64 lists of 5,000 arrive together; measures their memory and the other clients.
lists:
    cargo test --release --test load -- lists

# Restarts two gateways in turn while a client without retries calls them.
drain restarts="100":
    cargo test --release --test load -- drain {{ restarts }}

# Measures the memory of a long stream, and the time to its first message.
streams:
    cargo test --release --test load -- streams

# Calls the gateway with grpcurl, buf, Python, Node.js and Go.
clients:
    .ci/run clients

# Regenerates docs/FAILURES.md from the output of grpcurl.
failures:
    cargo build
    source .ci/tools; use_go .ci; python3 -B tests/clients/failures.py

# Checks dependencies for known vulnerabilities; downloads the advisory database.
advisories:
    source .ci/tools; use_cargo_deny; cargo deny check advisories

# Checks the contract for changes since main that would break a client.
breaking:
    source .ci/tools; use_python .ci/requirements.txt; buf breaking --against '.git#branch=main,subdir=proto'

# Creates shares through grpc-go, grpcio and Envoy while gateways are killed.
mesh creates="4200" seed="20250918":
    MESH_CREATES={{ creates }} MESH_SEED={{ seed }} .ci/run mesh

# Creates shares while processes are killed; fails if one is lost or created twice.
exactly-once creates="20000" seed="20250918":
    EXACTLY_ONCE_CREATES={{ creates }} EXACTLY_ONCE_SEED={{ seed }} cargo test --release --test integration exactly_once -- --nocapture
