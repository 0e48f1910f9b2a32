"""A line y = a x + b, found step by step."""

from __future__ import annotations

import json
import os
import tempfile

from deepaas.model.v2.base import BaseModel
from webargs import fields, validate

POINTS = [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]
FOUND = os.path.join(tempfile.gettempdir(), "modelport-example-curve.json")


class Curve(BaseModel):
    """What a training has found is in use from the next start on."""

    def get_metadata(self):
        return {"name": "curve", "description": "A line through points.", "version": "1.0.0"}

    def warm(self):
        self.line = {"a": 2.0, "b": 1.0}
        if os.path.exists(FOUND):
            with open(FOUND, encoding="utf-8") as file:
                self.line = json.load(file)

    def get_predict_args(self):
        return {"x": fields.List(fields.Float(), required=True, metadata={"description": "where"})}

    def predict(self, x):
        return {"y": [round(self.line["a"] * value + self.line["b"], 3) for value in x]}

    def get_train_args(self):
        return {
            "steps": fields.Int(load_default=500, validate=validate.Range(min=1, max=100_000)),
            "rate": fields.Float(load_default=0.05, metadata={"description": "how far a step goes"}),
        }

    def train(self, steps, rate):
        a = b = 0.0
        for step in range(1, steps + 1):
            faults = [(a * x + b - y, x) for x, y in POINTS]
            a -= rate * sum(fault * x for fault, x in faults) / len(POINTS)
            b -= rate * sum(fault for fault, _ in faults) / len(POINTS)
            if step % 100 == 0:
                print(f"step {step}: y = {a:.3f} x + {b:.3f}")
        with open(FOUND, "w", encoding="utf-8") as file:
            json.dump({"a": a, "b": b}, file)
        return {"a": round(a, 2), "b": round(b, 2)}
