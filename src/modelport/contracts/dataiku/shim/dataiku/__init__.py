"""Stand-in for the vendor's package on an API node: the names that predictors and functions import."""

from __future__ import annotations

from typing import Any

from dataiku import apinode
from dataiku.apinode.predict import predictor as predictor


def __getattr__(name: str) -> Any:
    if name in _NOT_HERE:
        return _refusal(name)
    raise AttributeError(f"module 'dataiku' has no attribute {name!r}")


def _refusal(name: str) -> Any:
    """Stands for a name of the design node: code that only imports it, or has it on a path not taken, still runs."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            f"dataiku.{name} works inside Dataiku DSS only: an API node reads no datasets. "
            "Bundle a folder with the endpoint, or enrich the queries."
        )

    return refuse


_NOT_HERE = {
    "Dataset", "Folder", "Model", "SQLExecutor2", "api_client", "default_project_key", "get_custom_variables",
    "get_dataset", "get_managed_folder", "get_recipe_config",
}  # fmt: skip

__all__ = ["apinode", "predictor"]
