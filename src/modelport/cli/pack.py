"""``modelport pack DIR -o FILE``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.errors import ConfigError


def pack(
    directory: Annotated[str, Parameter(help="The model's folder, of any platform.")],
    /,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"], help="The package to write; it ends in .mlpkg.")],
    card: Annotated[
        str | None,
        Parameter(help="A YAML or JSON file that says what the model predicts, else modelport.yaml does."),
    ] = None,
    data: Annotated[
        str | None,
        Parameter(help="A CSV file of training data: tells features and explanation baseline where the card does not."),
    ] = None,
) -> int:
    """Make a package of a model folder."""
    from modelport.packages import archive, baseline
    from modelport.packages.card import Card
    from modelport.packages.find import find

    folder, target = Path(directory), Path(output)
    if not folder.is_dir():
        raise ConfigError(f"{directory} is no folder", hint="a package is made of a model's folder")
    if target.suffix != archive.SUFFIX:
        raise ConfigError(f"--output {output} does not end in {archive.SUFFIX}")
    given = {} if card is None else {"package": _read(card)}
    specs = find(directory, config.resolve({}), given)
    known = Card.model_validate(specs[0].card or given.get("package") or {})
    if data is not None:
        known = baseline.completed(known, Path(data))
    contents = archive.write(folder.resolve(), specs[0].contract, known, target.resolve())
    size = target.stat().st_size
    print(f"wrote {output}: {contents.modelId}, {len(contents.files)} files, {size} bytes", file=sys.stderr)
    return 0


def _read(file: str) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise ConfigError(f"--card {file}: {' '.join(str(fault).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"--card {file} must be an object")
    return content
