"""The gateway under test: the real binary with its own sandbox."""

import re
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

# The log line of a gateway that is ready.
LISTENS = re.compile(r'the gateway listens.* address="(127\.0\.0\.1:\d+)"')

FOR_TESTS = ("--listen", "127.0.0.1:0", "--lame-duck", "0", "--admin-listen", "off")

PARTNER_KEY = "sandbox-partner-key"
USER_KEY = "sandbox-user-key"


@contextmanager
def serving(binary: Path, *flags: str):
    """Serves on a free port, yields its address, and stops as Kubernetes would.

    The upstream is the sandbox unless flags name another. There is no lame duck,
    since there is no load balancer. The gateway must exit cleanly and log no key.
    """
    process = subprocess.Popen(
        [binary, "serve", *(flags or ["--sandbox"]), *FOR_TESTS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log: list[str] = []
    serving = threading.Event()
    address: list[str] = []

    def read():
        for line in process.stdout:
            log.append(line)
            if listens := LISTENS.search(line):
                address.append(listens[1])
                serving.set()
        serving.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        serving.wait(timeout=30)
        assert address, f"no address in the log:\n{''.join(log)}"
        yield address[0]
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
        reader.join()
    text = "".join(log)
    assert process.returncode == 0, f"exit code {process.returncode}:\n{text}"
    for key in (PARTNER_KEY, USER_KEY):
        assert key not in text, f"a key in the log:\n{text}"
