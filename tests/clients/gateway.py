"""The gateway under test: the real binary, in front of its own sandbox."""

import re
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

# As the gateway's line in the log has it.
ADDRESS = re.compile(r"127\.0\.0\.1:[1-9]\d*")

PARTNER_KEY = "sandbox-partner-key"
USER_KEY = "sandbox-user-key"


@contextmanager
def serving(binary: Path):
    """Serves on a free port, yields its address, and stops as Kubernetes would.

    On the way out it must have exited cleanly and logged no key.
    """
    process = subprocess.Popen(
        [binary, "serve", "--sandbox", "--listen", "127.0.0.1:0"],
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
            if "the gateway listens" in line and not address:
                address.extend(ADDRESS.findall(line))
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
