"""The libraries that models need: imported when a model does, and an instruction where one is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from typing import Any

from modelport.errors import LoadError

PACKAGES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "imblearn": "imbalanced-learn",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""What pip calls a module of another name."""
PLACE = re.compile(r"^(\[[\d:]+\] )?\S+\.(?:cc|cpp|cu|h):\d+: |(?<=') from '[^']*'(?=>)")
"""Where in C++ it happened, and the file of a module."""
LONGEST = 300
"""Characters of a library's own error that are worth telling."""


def package(module: str) -> str:
    """What to install for a module."""
    top = module.partition(".")[0]
    return PACKAGES.get(top, top)


def is_installed(module: str) -> bool:
    """Whether a module could be imported, without doing so."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def needed(module: str, path: str) -> Any:
    """Imports what reads an artifact. Raises ``LoadError`` saying how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as fault:
        missing = fault.name or module
        found = "is not installed" if missing == module else f"cannot be imported: {brief(fault)}"
        hint = f"pip install {package(missing)}, for {sys.executable}"
        raise LoadError(f"{os.path.basename(path)} needs {package(module)}, which {found}", hint=hint) from None


def unreadable(path: str, library: Any, fault: Exception) -> LoadError:
    """A library's refusal of a file, in its first line."""
    name = package(library.__name__)
    version = getattr(library, "__version__", "")
    told = brief(fault).replace(path, os.path.basename(path))
    return LoadError(
        f"{os.path.basename(path)} cannot be read by {name} {version}: {told}",
        hint=f"is the file whole, and was it written by this version of {name} or an older one?",
    )


def brief(fault: BaseException) -> str:
    """The first sentence of an error, with its type where that is none; without places in somebody's source."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    text = PLACE.sub("", lines[0]).partition(". ")[0][:LONGEST] if lines else ""
    return text if " " in text else f"{type(fault).__name__} {text}".strip()


def descends(model: Any, library: str, name: str) -> bool:
    """Whether a model is of a class of that name in a library, told without importing the library."""
    return any(kind.__name__ == name and kind.__module__.partition(".")[0] == library for kind in type(model).__mro__)
