"""``python -m modelport`` is ``modelport``."""

from __future__ import annotations

from modelport.cli.main import main

main()
