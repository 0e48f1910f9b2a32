"""``modelport drum validation``"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from modelport import config
from modelport.cli.drum.options import Code
from modelport.cli.options import Json, Verbose
from modelport.core.call import PREDICT
from modelport.errors import ConfigError


def validation(
    *,
    code: Code,
    source: Annotated[
        str,
        Parameter(
            name="--input",
            help="A file with rows, as it is or packed with gzip; - is standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Try a code folder on the rows of a file."""
    from modelport.cli.check import report
    from modelport.cli.datafile import DataFile, filled
    from modelport.cli.dialects import FILES
    from modelport.cli.samples import JSON, MAX_BYTES
    from modelport.monitoring import logs

    settings = config.resolve({})
    logs.configure("human", "info" if verbose else "critical")
    spec = code.find(settings)
    with DataFile(source) as file:
        if spec.operation == PREDICT and not (file.can_be_cut or file.media_type == JSON):
            raise ConfigError(f"validation tries rows of CSV or JSON, and {file.name} is {file.content_type}")
        data = filled(file.read, MAX_BYTES)
    return report([FILES.given(spec, data)], settings, json, is_strict=True)
