"""PyTorch: whole modules as ``torch.save`` writes them, and TorchScript."""

from __future__ import annotations

import importlib
import os
import zipfile
from typing import Any

from modelport.contracts.drum.predictors.features import Features
from modelport.contracts.drum.predictors.libraries import descends, needed, unreadable
from modelport.contracts.drum.predictors.unpickling import explained
from modelport.errors import InvalidOutput, LoadError

SAVE_WHOLE = "save the whole module (torch.save(module, path)) or its TorchScript, or add load_model to custom.py"


def load(path: str) -> ModulePredictor:
    """What predicts with a module, or TorchScript."""
    model = read(path)
    if not descends(model, "torch", "Module"):
        raise LoadError(f"{os.path.basename(path)} holds {_described(model)}, and no module", hint=SAVE_WHOLE)
    return ModulePredictor(model)


def read(path: str) -> Any:
    """Whatever ``torch.save`` wrote, a module in evaluation mode; or TorchScript."""
    torch = needed("torch", path)
    inside, content = _inside(path)
    try:
        if "constants.pkl" in inside:
            return torch.jit.load(path, map_location="cpu").eval()
        model = torch.load(path, map_location="cpu", weights_only=False)
    except (RuntimeError, ValueError) as fault:
        raise unreadable(path, torch, fault) from fault
    except MemoryError:
        raise
    except Exception as fault:
        raise explained(path, fault, content) from fault
    return model.eval() if descends(model, "torch", "Module") else model


class ModulePredictor:
    """Gets one float32 tensor of all columns; what it answers is taken as it is, so probabilities are its affair."""

    def __init__(self, module: Any) -> None:
        self.model = module.eval()
        self.classes = None
        self.columns = None
        self.is_classifier = None
        self.is_numeric = True
        self._features = Features(count=_width(module))
        self._device = next((parameter.device for parameter in module.parameters()), None)

    def predict(self, frame: Any, is_classification: bool) -> Any:
        torch = importlib.import_module("torch")
        rows = torch.tensor(self._features.numbers(frame, "float32"), device=self._device)
        with torch.no_grad():
            answer = self.model(rows)
        if not isinstance(answer, torch.Tensor):
            raise InvalidOutput(
                f"the module answered {type(answer).__name__}; a tensor was expected", hint="add a score hook"
            )
        return answer.cpu().numpy()


wrap = ModulePredictor


def _inside(path: str) -> tuple[set[str], bytes]:
    """The names of the files in the archive, and the pickle among them; of an older format, all there is."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            return set(), file.read()
    with zipfile.ZipFile(path) as archive:
        names = {os.path.basename(name): name for name in archive.namelist()}
        return set(names), archive.read(names["data.pkl"]) if "data.pkl" in names else b""


def _width(module: Any) -> int | None:
    """How many columns the first layer takes, where the module is a plain sequence."""
    if not descends(module, "torch", "Sequential"):
        return None
    first = next(iter(module), None)
    width = getattr(first, "in_features", None)
    return width if isinstance(width, int) else None


def _described(model: Any) -> str:
    if not isinstance(model, dict):
        return f"an object of type {type(model).__name__}"
    if model and all(descends(value, "torch", "Tensor") for value in model.values()):
        return "the weights of a module (its state_dict)"
    return f"a dict of {', '.join(map(str, list(model)[:10]))}" if model else "an empty dict"
