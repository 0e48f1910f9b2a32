"""The process in which a model does what it wants done beside its answers, until the front hangs up."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Callable

from modelport.worker import capture, imports
from modelport.worker.link import Link


def run(link: Link, work: Callable[[], Any]) -> None:
    """In the main thread, as the work may need that; once it is done, it waits."""
    threading.Thread(target=_wait, args=(link,), daemon=True).start()
    try:
        work()
    except BaseException as fault:
        capture.current.emit("error", imports.user_traceback(fault))
        sys.exit(1)
    finally:
        capture.settle()
    threading.Event().wait()


def _wait(link: Link) -> None:
    while link.receive() is not None:
        pass
    os._exit(0)
