"""Why a pickle does not load: what it was made with, told without running it."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import os
import pickletools
import re
import sys
import zlib
from typing import Any, Callable

from modelport.contracts.drum.predictors.libraries import brief, is_installed, package
from modelport.errors import LoadError

VERSION = re.compile(rb"_sklearn_version.{0,8}?(\d+\.\d+(?:\.\d+)?(?:\.?(?:dev|rc|post|a|b)\d+)*)", re.DOTALL)
"""The version that scikit-learn writes into the state of each of its estimators."""
MOST = 1_000_000
"""Instructions of a pickle that are looked at."""
SQUEEZED: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZ": bz2.decompress,
    b"\xfd7": lzma.decompress,
    b"]\x00": lzma.decompress,
    b"x": zlib.decompress,
}
"""The compressions that joblib writes, by their first bytes."""
ALWAYS_THERE = getattr(sys, "stdlib_module_names", frozenset({"_codecs", "builtins", "collections", "copyreg"}))
OTHERWISE_CALLED = frozenset({"__builtin__", "__main__", "copy_reg"})
"""Modules that are no library; two of them are Python 2's names, which old protocols write."""


def explained(path: str, fault: BaseException, content: bytes) -> LoadError:
    """The error that an artifact did not load, from what went wrong and the pickle it holds."""
    name = os.path.basename(path)
    content = _plain(content)
    if content[:1] != b"\x80" and not isinstance(fault, (ImportError, AttributeError)):
        return LoadError(f"{name} is no pickle: it begins with {content[:20]!r}", hint="was it saved some other way?")
    if isinstance(fault, EOFError) or "truncated" in str(fault):
        return LoadError(f"{name} is cut short: {brief(fault)}", hint="copy it once more")
    libraries = _libraries(content)
    made = sklearn_version(content)
    about = [f"scikit-learn {made}" if item == "sklearn" and made else package(item) for item in libraries]
    found = f"; it holds objects of {', '.join(about)}" if about else ""
    told = brief(fault) if isinstance(fault, ImportError) else f"{type(fault).__name__}: {brief(fault)}"
    return LoadError(f"{name} cannot be unpickled: {told}{found}", hint=_hint(fault, libraries, made))


def sklearn_version(content: bytes) -> str | None:
    """The version of scikit-learn that a pickle was made with."""
    found = VERSION.search(content)
    return found.group(1).decode() if found else None


def held(path: str) -> list[str]:
    """The top-level modules whose objects a pickle holds, told without loading it."""
    with open(path, "rb") as file:
        return _libraries(_plain(file.read()))


def _hint(fault: BaseException, libraries: list[str], made: str | None) -> str:
    if isinstance(fault, AttributeError) and "__main__" in str(fault):
        return (
            "it was made by a script that defined this itself: define it in a module beside the model, "
            "import it from there in that script, and save the model again"
        )
    missing = (getattr(fault, "name", None) or "") if isinstance(fault, ImportError) else ""
    top = missing.partition(".")[0]
    if top and not is_installed(top):
        version = f"=={made}" if top == "sklearn" and made else ""
        return f"pip install {package(top)}{version}, or put the module beside the model, if it is your own"
    if made and (top in ("", "sklearn") or made != _installed("sklearn")):
        return f"pip install scikit-learn=={made}; here is {_installed('sklearn') or 'none'}"
    if not libraries:
        return "is the file whole?"
    versions = [f"{package(item)} {_installed(item) or 'is missing'}" for item in libraries]
    return f"install what it was made with; here are {', '.join(versions)}"


def _plain(content: bytes) -> bytes:
    """Without compression, as far as it goes."""
    for start, decompress in SQUEEZED.items():
        if content.startswith(start):
            try:
                return decompress(content)
            except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error):
                return content
    return content


def _libraries(content: bytes) -> list[str]:
    """The top-level modules that a pickle imports, as far as it can be read."""
    strings: list[Any] = []
    memo: dict[int, Any] = {}
    found: dict[str, None] = {}
    try:
        opcode: Any
        argument: Any
        for opcode, argument, _ in itertools.islice(pickletools.genops(content), MOST):
            if opcode.name in ("GLOBAL", "INST"):
                found[argument.partition(" ")[0].partition(".")[0]] = None
            elif opcode.name == "STACK_GLOBAL" and len(strings) > 1 and isinstance(strings[-2], str):
                found[strings[-2].partition(".")[0]] = None
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = strings[-1] if strings else None
            elif opcode.name.endswith("BINPUT"):
                memo[argument] = strings[-1] if strings else None
            elif opcode.name.endswith("BINGET"):
                strings.append(memo.get(argument))
            elif opcode.name != "FRAME":
                strings.append(argument if "UNICODE" in opcode.name else None)
            del strings[:-2]
    except Exception:  # noqa: S110 - joblib puts arrays between the instructions, and what is broken ends somewhere
        pass
    return sorted(found.keys() - ALWAYS_THERE - OTHERWISE_CALLED)


def _installed(module: str) -> str | None:
    """The version of a library here."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package(module))
    except PackageNotFoundError:
        return getattr(sys.modules.get(module), "__version__", None)
