"""Writes the generated parts of the pages: what lies between a page's two `generated` comments.

usage: python docs/generate.py [--check]        --check: write nothing, fail if a page is out of date
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
START, END = "<!-- generated: python -m {} {} -->", "<!-- generated: end -->"

# page -> the module that prints its generated part, and with what option
PAGES = {"configuration.md": ("modelport.config", "--markdown")}


def fill(text: str, module: str, option: str) -> str:
    """`text` with the output of `module` between its two comments."""
    start = START.format(module, option)
    head, _, rest = text.partition(start)
    _, end, tail = rest.partition(END)
    if not end:
        sys.exit(f"generate: a page lacks the comments {start} and {END}")
    command = [sys.executable, "-m", module, option]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    if not made.strip():
        sys.exit(f"generate: python -m {module} {option} printed nothing")
    # outside code, a placeholder such as <name> would be taken for HTML
    made = re.sub(r"`[^`]*`|<", lambda match: "&lt;" if match[0] == "<" else match[0], made)
    return f"{head}{start}\n\n{made.strip()}\n\n{END}{tail}"


def main(argv: list[str]) -> int:
    """Bring every page up to date, or say which are not."""
    stale = []
    for name, (module, option) in PAGES.items():
        page = DOCS / name
        if importlib.util.find_spec(module) is None:
            print(f"generate: {name}: skipped, there is no {module} yet")
            continue
        old = page.read_text(encoding="utf-8")
        new = fill(old, module, option)
        if new == old:
            continue
        if "--check" in argv:
            stale.append(name)
        else:
            page.write_text(new, encoding="utf-8")
            print(f"generate: wrote {name}")
    if stale:
        print(f"generate: out of date: {', '.join(stale)}\nhint: run ./dev docs", file=sys.stderr)
    return len(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
