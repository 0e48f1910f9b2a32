"""Which optional packages there are."""

from __future__ import annotations

from modelport.contracts.seldon import tftensors

_TF_PRESENT = tftensors.is_there()
