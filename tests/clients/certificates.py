"""Certificates for tests, made by the openssl command."""

from dataclasses import dataclass
from pathlib import Path

from clients import Tls, run_or_fail

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Issued:
    certificate: Path
    key: Path

    def of_client(self, server: "Authority") -> Tls:
        """Returns the settings of a client that shows this certificate."""
        return Tls(str(server.certificate), str(self.certificate), str(self.key))


class Authority:
    """A certificate authority that only tests trust."""

    def __init__(self, directory: Path, name: str):
        self.directory = directory / name
        self.directory.mkdir()
        self.certificate = self.directory / "ca.crt"
        self.key = self.directory / "ca.key"
        run_or_fail(
            *("openssl", "req", "-x509", *KEY, "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", self.key, "-out", self.certificate),
        )

    def issue(self, name: str) -> Issued:
        """Issues a certificate for a name in openssl's form, such as `DNS:example.com`."""
        stem = self.directory / name.translate(str.maketrans(":/", "__"))
        issued = Issued(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={name}\n")
        run_or_fail(
            *("openssl", "req", "-new", *KEY, "-subj", "/CN=test"),
            *("-keyout", issued.key, "-out", request),
        )
        run_or_fail(
            *("openssl", "x509", "-req", "-in", request, "-days", "2"),
            *("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial"),
            *("-extfile", extensions, "-out", issued.certificate),
        )
        return issued
