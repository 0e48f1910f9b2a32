"""``modelport drum score``"""

from __future__ import annotations

from modelport import config
from modelport.cli.drum.options import Code
from modelport.cli.score import Work, run


def score(*, code: Code, work: Work) -> int:
    """Score a file with a code folder."""
    settings = config.resolve({"log_level": "warning"})
    return run(code.find(settings), settings, work)
