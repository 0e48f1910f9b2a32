"""A component that does whatever a test tells it to, in its parameters or in the message."""

from __future__ import annotations

import os
import time
from pathlib import Path

from seldon_core.flask_utils import SeldonMicroserviceException


class Unit:
    """``me`` is what it calls itself, ``folder`` where it leaves notes of what it was asked."""

    def __init__(self, me: str = "?", folder: str = "", meets: int = 0) -> None:
        self.me = me
        self.folder = folder
        self.meets = meets

    def _asked(self, verb, X):
        if self.folder:
            with Path(self.folder, self.me).open("a") as notes:
                notes.write(f"{verb}\n")
        if self.meets:
            self._meet()
        if not isinstance(X, dict):
            return X
        fault = X.get("fault", {})
        if self.me in (fault.get("at"), *fault.get("also", ())):
            time.sleep(0.3 * (self.me == fault.get("late")))
            return self._fail(fault["how"])
        return {**X, "trace": [*X.get("trace", []), f"{self.me}.{verb}"]}

    def _fail(self, how):
        if how == "raise":
            raise RuntimeError(f"{self.me} does not like it")
        if how == "refuse":
            raise SeldonMicroserviceException(f"{self.me} refuses", 418, reason="TEAPOT")
        if how == "exit":
            os._exit(3)
        if how == "leave":
            raise SystemExit(4)
        if how == "hang":
            time.sleep(60)
        if how == "nap":
            time.sleep(1)
            return {"trace": [f"{self.me} slept"]}
        if how == "unwritable":
            return {"value": object()}
        return object()

    def _meet(self):
        """Until so many of its kind are being asked at the same time; bounded."""
        Path(self.folder, f"{self.me}.here").touch()
        end = time.monotonic() + 20
        while sum(1 for _ in Path(self.folder).glob("*.here")) < self.meets:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.me} waited for the others in vain")
            time.sleep(0.005)

    def predict(self, X, names=None, meta=None):
        return self._asked("predict", X)

    def transform_input(self, X, names=None, meta=None):
        return self._asked("in", X)

    def transform_output(self, X, names=None, meta=None):
        return self._asked("out", X)

    def route(self, X, names=None, meta=None):
        X = self._asked("route", X)
        return int(X["routes"].get(self.me, -1)) if isinstance(X, dict) and "routes" in X else X

    def aggregate(self, features, names):
        traces = [item["trace"] for item in features]
        return self._asked("join", {**features[0], "trace": [traces]})

    def send_feedback(self, features, names, reward, truth, routing=None):
        self._asked("feedback", None)
        return [[reward, -99 if routing is None else routing]]

    def tags(self):
        return {self.me: True}


class Raw:
    """Words its whole answer."""

    def predict_raw(self, msg):
        assert type(msg["data"]["ndarray"]) is list
        return {"status": {"code": 409, "info": "taken"}, "data": msg["data"]}


class RawJoin:
    """Combines whole messages."""

    def aggregate_raw(self, msgs):
        assert [type(msg["data"]["tensor"]["values"]) for msg in msgs] == [list, list]
        return msgs[1]


class Mean:
    def aggregate(self, features, names):
        import numpy

        return numpy.mean(features, axis=0)


class Kind:
    """Says of what type its input is, after having spoiled it."""

    def predict(self, X, names=None, meta=None):
        said = f"{X.dtype} {X.shape} {X.tolist()}"
        X[...] = 0
        return said


class Spoils:
    """Changes the very message that it was given."""

    def __init__(self, me):
        self.me = me

    def predict(self, X, names=None, meta=None):
        X["list"].append(self.me)
        meta.setdefault("tags", {})["spoiled"] = self.me
        return {"trace": X["list"]}


class Single:
    """Single precision, of which the next one reads double."""

    def predict(self, X, names=None, meta=None):
        return X.astype("float32")
