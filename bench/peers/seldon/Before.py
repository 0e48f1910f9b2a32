"""The first node of the measured graph."""

from __future__ import annotations

from seldon_core.user_model import SeldonComponent


class Before(SeldonComponent):
    """Hands the rows on."""

    def transform_input(self, x, names, meta=None):
        """Give what came."""
        return x
