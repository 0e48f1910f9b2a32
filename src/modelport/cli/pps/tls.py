"""TLS as the platform's variables describe it: everything is text, nothing is a file."""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
import warnings
from pathlib import Path

from modelport.cli.pps.variables import Tls
from modelport.errors import ConfigError

VERSIONS = {
    "TLSv1": (ssl.TLSVersion.TLSv1, ssl.OP_NO_TLSv1),
    "TLSv1.1": (ssl.TLSVersion.TLSv1_1, ssl.OP_NO_TLSv1_1),
    "TLSv1.2": (ssl.TLSVersion.TLSv1_2, ssl.OP_NO_TLSv1_2),
    "TLSv1.3": (ssl.TLSVersion.TLSv1_3, ssl.OP_NO_TLSv1_3),
}
GONE = ("SSLv2", "SSLv3")
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!MD5"
"""Forward secrecy and authenticated encryption; TLSv1.3 has suites of its own."""
OLD_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:AES:!aNULL:!MD5@SECLEVEL=0"
"""What TLSv1 and TLSv1.1 need besides: OpenSSL counts them as insecure."""

_log = logging.getLogger("modelport.pps")


def context(tls: Tls) -> ssl.SSLContext:
    """A server's context. Raises ``ConfigError`` saying which variable is wrong."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wanted = _versions(tls.protocols)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # whoever names an old protocol was told by the platform
        made.minimum_version = min(VERSIONS[name][0] for name in wanted)
        made.maximum_version = max(VERSIONS[name][0] for name in wanted)
        for name, (_, left_out) in VERSIONS.items():
            if name not in wanted:
                made.options |= left_out
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    usual = OLD_CIPHERS if {"TLSv1", "TLSv1.1"} & set(wanted) else CIPHERS
    try:
        made.set_ciphers(":".join(tls.ciphers.replace(",", " ").split()) or usual)
    except ssl.SSLError:
        raise ConfigError(f"PREDICTION_API_TLS_CIPHERS: no cipher is meant by {tls.ciphers[:200]!r}") from None
    load(made, tls)
    return made


def load(made: ssl.SSLContext, tls: Tls) -> None:
    """Gives the context a certificate, perhaps in place of another, for connections from now on.

    Raises ``ConfigError``.
    """
    with tempfile.TemporaryDirectory(prefix="modelport-") as folder:  # which only its owner may enter
        certificate, key = Path(folder, "certificate"), Path(folder, "key")
        for file, text in ((certificate, tls.certificate), (key, tls.key)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
                opened.write(text + "\n")
        try:
            # without a password OpenSSL would ask for one at the terminal
            made.load_cert_chain(certificate, key, lambda: tls.password)
        except (ssl.SSLError, ValueError) as fault:
            raise ConfigError(
                "PREDICTION_API_TLS_CERTIFICATE and PREDICTION_API_TLS_CERTIFICATE_KEY cannot be used: "
                f"{getattr(fault, 'reason', None) or fault}",
                hint="PEM text of both, and PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD where the key has one",
            ) from None


def _versions(names: list[str]) -> list[str]:
    known = {name.lower(): name for name in (*VERSIONS, *GONE)}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise ConfigError(f"PREDICTION_API_TLS_PROTOCOLS: {unknown[0][:80]!r} is none of {', '.join(known.values())}")
    wanted = [known[name.lower()] for name in names]
    gone = [name for name in wanted if name in GONE]
    if gone:
        _log.warning("PREDICTION_API_TLS_PROTOCOLS: %s cannot be spoken any more", " and ".join(gone))
    if set(wanted) <= set(GONE):
        raise ConfigError("PREDICTION_API_TLS_PROTOCOLS leaves no protocol", hint="TLSv1.2 TLSv1.3")
    return [name for name in wanted if name not in GONE]
