"""The script a worker process is started with, by path, under any interpreter.

Makes ``modelport`` importable without putting its folder's neighbours (the front's own packages) on the
import path of the model, and ties the worker's life to the front's.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys


def adopt_package() -> None:
    """Registers the package that this file lies in, whatever the import path says."""
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(here)
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    spec = importlib.util.spec_from_file_location(
        "modelport", os.path.join(root, "__init__.py"), submodule_search_locations=[root]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["modelport"] = package
    spec.loader.exec_module(package)


def die_with_parent(parent: int) -> None:
    """Ends this process when the front ends, however that happens; elsewhere than Linux, closed pipes tell."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    if sys.version_info < (3, 9):  # noqa: UP036 - this file is what an older interpreter gets to see
        sys.exit(f"a model's environment needs Python 3.9 or newer; this is {sys.version}")
    die_with_parent(int(sys.argv[4]))
    adopt_package()
    from modelport.worker.main import main

    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
