"""The card of a model: what a package tells of what it predicts, beyond what its code does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from modelport.core.calendar import frequency

CLASSES = ("binary", "multiclass")
TARGETS = ("regression", *CLASSES, "anomaly", "textgeneration")


def _text(value: Any) -> Any:
    """A label or name; unquoted, YAML may have taken it for a number."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=1000)]
Window = Annotated[list[int], Field(min_length=2, max_length=2)]


def _frequency(text: str) -> str:
    frequency(text)
    return text


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Target(_Part):
    """What is predicted. Above ``threshold``, else 0.5, a row of a binary target is of the ``positiveClass``."""

    name: Text | None = None
    type: Literal["regression", "binary", "multiclass", "anomaly", "textgeneration"] | None = None
    classLabels: list[Text] | None = None
    positiveClass: Text | None = None
    threshold: Annotated[float | None, Field(ge=0, le=1)] = None

    @model_validator(mode="after")
    def _fit(self) -> Target:
        labels = self.classLabels
        if labels is not None:
            if len(labels) < 2 or len(set(labels)) < len(labels):
                raise ValueError("classLabels must be two labels or more, all different")
            if self.type not in (None, *CLASSES):
                raise ValueError(f"a target of type {self.type} has no classLabels")
        if self.type == "binary" and labels is not None:
            if len(labels) != 2:
                raise ValueError(f"a binary target has two classLabels, not {len(labels)}")
            if self.positiveClass not in labels:
                raise ValueError("positiveClass must be one of the two classLabels")
        return self


class Feature(_Part):
    """A column that the model needs."""

    name: Text
    type: Literal["numeric", "categorical", "text", "boolean", "date"] | None = None


class TimeSeries(_Part):
    """Windows count rows of ``frequency`` from the forecast point: [-7, 0] of history gives [1, 3] of forecasts."""

    dateColumn: Text
    seriesColumn: Text | None = None
    frequency: Annotated[str, AfterValidator(_frequency)] = "D"
    featureDerivationWindow: Window
    forecastWindow: Window
    knownInAdvance: list[Text] = []

    @model_validator(mode="after")
    def _fit(self) -> TimeSeries:
        back, now = self.featureDerivationWindow
        first, last = self.forecastWindow
        if not back < now <= 0:
            raise ValueError("featureDerivationWindow must be [below 0, 0 or below]")
        if not 0 <= first <= last:
            raise ValueError("forecastWindow must be [0 or more, as much or more]")
        return self


class Explanations(_Part):
    """``baseline`` has for each feature the value, or values, to compare a row's with."""

    algorithm: Literal["xemp", "shap"] = "xemp"
    baseline: dict[str, Any] = {}
    featureImpact: dict[str, float] = {}


class Card(_Part):
    """The section ``package`` of modelport.yaml, and part of modelport.json in a package."""

    modelId: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = None
    target: Target = Target()
    features: list[Feature] = []
    timeSeries: TimeSeries | None = None
    explanations: Explanations | None = None

    @model_validator(mode="after")
    def _fit(self) -> Card:
        names = [feature.name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"features are there twice: {', '.join(twice[:10])}")
        return self

    def over(self, known: dict[str, Any]) -> Card:
        """This card, with what is ``known`` of the target where it says nothing. Raises ``ValidationError``."""
        target = {**known.get("target", {}), **self.target.model_dump(exclude_none=True)}
        return Card.model_validate({**self.model_dump(include=set(Card.model_fields)), "target": target})

    def plain(self) -> dict[str, Any]:
        """As JSON has it, with every key."""
        return self.model_dump(mode="json")
