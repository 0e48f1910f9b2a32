"""The abstract class that a model may extend."""

from __future__ import annotations

import abc
from typing import Any


class BaseModel(abc.ABC):
    """All that a model may have. ``schema`` is None, a dict of fields, or a ``marshmallow.Schema`` class."""

    schema: Any = None

    @abc.abstractmethod
    def get_metadata(self) -> Any:
        """A dict with at least ``name`` and ``description``."""
        raise NotImplementedError

    @abc.abstractmethod
    def warm(self) -> Any:
        """Makes the model ready, once, before it is asked anything."""
        raise NotImplementedError

    @abc.abstractmethod
    def get_predict_args(self) -> Any:
        """A dict of fields: what ``predict`` takes."""
        raise NotImplementedError

    @abc.abstractmethod
    def predict(self, **kwargs: Any) -> Any:
        """The answer to these arguments."""
        raise NotImplementedError

    @abc.abstractmethod
    def get_train_args(self) -> Any:
        """A dict of fields: what ``train`` takes."""
        raise NotImplementedError

    @abc.abstractmethod
    def train(self, **kwargs: Any) -> Any:
        """What a training with these arguments comes to."""
        raise NotImplementedError
