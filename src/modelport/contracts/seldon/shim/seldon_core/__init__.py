"""Stand-in for the platform's package: the names that components import. It needs nothing but the standard library,
numpy where arrays are handled, and Flask where that is used."""

from __future__ import annotations

from seldon_core.storage import Storage
from seldon_core.version import __version__

__all__ = ["Storage", "__version__"]
