"""What every verb of ``modelport drum`` is told of the code folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from modelport import config
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError

Target = Literal["regression", "binary", "multiclass", "anomaly", "transform", "unstructured", "textgeneration"]


def _option(what: str, **more: Any) -> Parameter:
    return Parameter(help=what, show_default=False, **more)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Code:
    """The folder, and what goes before its model-metadata.yaml and the environment."""

    code_dir: Annotated[str, _option("The folder with custom.py, the model file, or both.")]
    target_type: Annotated[Target | None, _option("What the model predicts.")] = None
    positive_class_label: Annotated[str | None, _option("The positive class of a binary classification.")] = None
    negative_class_label: Annotated[str | None, _option("The negative class of a binary classification.")] = None
    class_labels: Annotated[list[str] | None, _option("The classes.", consume_multiple=True, negative="")] = None
    class_labels_file: Annotated[str | None, _option("A file with the classes, one a line.")] = None
    binary_order: Annotated[
        Literal["negative-first", "positive-first"] | None,
        _option("The order of two probabilities a row where the model names no classes. Default negative-first."),
    ] = None
    sparse_column_file: Annotated[str | None, _option("A file with the column names of MTX data, one a line.")] = None
    runtime_params_file: Annotated[str | None, _option("A YAML file with runtime parameters, name: value.")] = None

    def find(self, settings: config.Settings) -> ModelSpec:
        """The model, a regression where nothing says otherwise. Raises ``ConfigError`` with every fault."""
        from modelport.packages.find import find

        options: dict[str, Any] = {
            "positiveClassLabel": self.positive_class_label,
            "negativeClassLabel": self.negative_class_label,
            "classLabels": self.class_labels,
            "classLabelsFile": self.class_labels_file,
            "binaryOrder": self.binary_order,
            "sparseColumnFile": self.sparse_column_file,
            "runtimeParameters": self._parameters(),
        }
        given: dict[str, Any] = {"contract": "drum", "target": self.target_type}
        given = {name: value for name, value in given.items() if value is not None}
        given["options"] = {name: value for name, value in options.items() if value is not None}
        (spec,) = find(self.code_dir, settings, given)
        if spec.options["target"] is None:
            spec = replace(spec, options={**spec.options, "target": "regression"})
        return spec

    def _parameters(self) -> dict[str, Any] | None:
        if self.runtime_params_file is None:
            return None
        import yaml

        file = self.runtime_params_file
        try:
            # as text: an unquoted 1.10 is a version, and no number, where its parameter is a string
            content = yaml.BaseLoader(Path(file).read_text("utf-8")).get_single_data()
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
            raise ConfigError(f"--runtime-params-file {file}: {' '.join(str(fault).split())}") from None
        if not isinstance(content, dict):
            raise ConfigError(f"--runtime-params-file {file} must hold lines of name: value")
        return {str(name): value for name, value in content.items()}
