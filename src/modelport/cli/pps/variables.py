"""The platform's own variables: from the environment, and beneath that from a file of KEY=value lines."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelport.errors import ConfigError

FILE = "/opt/ml/config"
MAX_FILE = 1 << 20
REPOSITORY = "/opt/ml/model/"
PREFIX = "PREDICTION_API_"
TLS = "PREDICTION_API_TLS_"
IGNORED = ("PREDICTION_API_RPC_DUAL_COMPUTE_ENABLED", "PYTHON3_SERVICES")
SETTINGS = ("PREDICTION_API_MONITORING_SETTINGS", "PORTABLE_PREDICTION_API_MONITORING_SETTINGS")
"""Two names of one variable; the first wins."""
KNOWN = (
    "PREDICTION_API_WORKERS",
    "PREDICTION_API_MODEL_REPOSITORY_PATH",
    "PREDICTION_API_PRELOAD_MODELS_ENABLED",
    "PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE",
    "PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC",
    "PREDICTION_API_MONITORING_ENABLED",
    *SETTINGS,
    "MLOPS_DEPLOYMENT_ID",
    "MLOPS_MODEL_ID",
    "MLOPS_ASSOCIATION_ID_COLUMN",
    "MLOPS_ASSOCIATION_ID_ALLOW_MISSING_VALUES",
    "MONITORING_AGENT",
    "MONITORING_AGENT_DATAROBOT_APP_URL",
    "MONITORING_AGENT_DATAROBOT_APP_TOKEN",
    "PREDICTION_API_TLS_ENABLED",
    "PREDICTION_API_TLS_CERTIFICATE",
    "PREDICTION_API_TLS_CERTIFICATE_KEY",
    "PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD",
    "PREDICTION_API_TLS_PROTOCOLS",
    "PREDICTION_API_TLS_CIPHERS",
    *IGNORED,
)
MAX_WORKERS, MAX_MODELS = 1000, 100_000
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "no", "n", "0"), False),
}

_log = logging.getLogger("modelport.pps")


@dataclass(frozen=True)
class Tls:
    """PEM text, protocol names, and OpenSSL's list of ciphers, empty for the usual ones."""

    certificate: str
    key: str
    password: str
    protocols: list[str]
    ciphers: str


@dataclass(frozen=True)
class Variables:
    """``preload`` is None where nobody says; ``ttl`` in seconds."""

    workers: int
    repository: Path
    preload: bool | None
    cache_size: int
    ttl: float
    deployment_id: str | None
    tls: Tls | None


def read(env: Mapping[str, str], file: str | None = None) -> Variables:
    """What is set, with the platform's defaults. Raises ``ConfigError`` with every fault."""
    reading = _Reading({**_file(Path(file or FILE), is_wanted=file is not None), **env})
    variables = Variables(
        reading.integer("PREDICTION_API_WORKERS", 1, 1, MAX_WORKERS),
        Path(reading.text("PREDICTION_API_MODEL_REPOSITORY_PATH") or REPOSITORY),
        reading.boolean("PREDICTION_API_PRELOAD_MODELS_ENABLED"),
        reading.integer("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE", 4, 1, MAX_MODELS),
        reading.integer("PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", 60, 0, math.inf),
        reading.text("MLOPS_DEPLOYMENT_ID") or None,
        reading.tls(),
    )
    reading.check_monitoring()
    if reading.faults:
        raise ConfigError("the variables have faults", faults=reading.faults)
    return variables


class _Reading:
    """The variables, and the faults found so far."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.faults: list[str] = []
        unknown = sorted(name for name in given if name.startswith(PREFIX) and name not in KNOWN)
        if unknown:
            _log.warning("unknown variables: %s", ", ".join(unknown))
        for name in IGNORED:
            if given.get(name):
                _log.warning("%s has no effect: there is no Python 2 here", name)

    def text(self, name: str) -> str:
        return self._given.get(name, "").strip()

    def boolean(self, name: str) -> bool | None:
        text = self.text(name)
        if not text:
            return None
        if text.lower() not in _BOOLEANS:
            self.faults.append(f"{name} must be true, yes, y, 1, false, no, n or 0, not {text[:80]!r}")
            return None
        return _BOOLEANS[text.lower()]

    def integer(self, name: str, default: int, least: int, most: float) -> int:
        text = self.text(name)
        if not text:
            return default
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else -1
        if not least <= number <= most:
            until = "" if most == math.inf else f", {most} at most"
            self.faults.append(f"{name} must be a whole number of {least} or more{until}, not {text[:80]!r}")
            return default
        return number

    def tls(self) -> Tls | None:
        """None where TLS is off, whatever the other variables of it hold."""
        if not self.boolean(f"{TLS}ENABLED"):
            return None
        certificate, key = self._pem("CERTIFICATE"), self._pem("CERTIFICATE_KEY")
        protocols = self.text(f"{TLS}PROTOCOLS") or "TLSv1.2 TLSv1.3"
        return Tls(
            certificate,
            key,
            self._given.get(f"{TLS}CERTIFICATE_KEY_PASSWORD", ""),
            protocols.split(),
            self.text(f"{TLS}CIPHERS"),
        )

    def _pem(self, name: str) -> str:
        text = self.text(TLS + name)
        if not text:
            self.faults.append(f"{TLS}ENABLED is set, and {TLS}{name} is not")
        return text if "\n" in text else text.replace("\\n", "\n")

    def check_monitoring(self) -> None:
        """The variables of what is yet to come."""
        self.boolean("MLOPS_ASSOCIATION_ID_ALLOW_MISSING_VALUES")
        if self.boolean("MONITORING_AGENT"):
            _log.warning("MONITORING_AGENT has no effect: there is no agent yet")
        for part in next(filter(None, map(self.text, SETTINGS)), "").split(";"):
            if (part.strip() and not part.partition("=")[0].strip()) or ("=" not in part and part.strip()):
                self.faults.append(f"{SETTINGS[0]} must be key=value;key=value, which {part[:80]!r} is not")
        if self.boolean("PREDICTION_API_MONITORING_ENABLED"):
            self.faults.append("PREDICTION_API_MONITORING_ENABLED: monitoring data cannot be offloaded yet")


def _file(place: Path, is_wanted: bool) -> dict[str, str]:
    """The lines of a file; of a folder, those of each of its files, by name."""
    try:
        files = sorted(file for file in place.iterdir() if file.is_file()) if place.is_dir() else [place]
        lines = [line for file in files for line in _text(file).splitlines()]
    except FileNotFoundError:
        if is_wanted:
            raise ConfigError(f"there is no {place}") from None
        return {}
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{place} cannot be read: {fault}") from None
    given: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise ConfigError(f"{place}: line {number} is no KEY=value")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        given[name.strip()] = value
    return given


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        text = opened.read(MAX_FILE + 1)
    if len(text) > MAX_FILE:
        raise ConfigError(f"{file} is over {MAX_FILE} bytes")
    return text.decode("utf-8-sig")
