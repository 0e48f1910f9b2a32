"""What the environment says of this component."""

from __future__ import annotations

import json
import os

from modelport.contracts.seldon.wrapper import NO_IMAGE

ENV_MODEL_NAME = "PREDICTIVE_UNIT_ID"
ENV_MODEL_IMAGE = "PREDICTIVE_UNIT_IMAGE"
ENV_SELDON_DEPLOYMENT_NAME = "SELDON_DEPLOYMENT_ID"
ENV_PREDICTOR_NAME = "PREDICTOR_ID"
ENV_PREDICTOR_LABELS = "PREDICTOR_LABELS"
NONIMPLEMENTED_MSG = "NOT_IMPLEMENTED"
NONIMPLEMENTED_IMAGE_MSG = NO_IMAGE


def get_model_name(default_val: str = NONIMPLEMENTED_MSG) -> str:
    """The component's name in its graph."""
    return os.environ.get(ENV_MODEL_NAME, default_val)


def get_image_name(default_val: str = NONIMPLEMENTED_IMAGE_MSG) -> str:
    """The image that the component comes in, with its tag."""
    return os.environ.get(ENV_MODEL_IMAGE, default_val)


def get_deployment_name(default_val: str = NONIMPLEMENTED_MSG) -> str:
    """What the component was deployed as a part of."""
    return os.environ.get(ENV_SELDON_DEPLOYMENT_NAME, default_val)


def get_predictor_name(default_val: str = NONIMPLEMENTED_MSG) -> str:
    """Which of the deployment's predictors it is in."""
    return os.environ.get(ENV_PREDICTOR_NAME, default_val)


def get_predictor_version(default_val: str = NONIMPLEMENTED_MSG) -> str:
    """The label ``version`` among the predictor's."""
    return str(json.loads(os.environ.get(ENV_PREDICTOR_LABELS, "{}")).get("version", default_val))
