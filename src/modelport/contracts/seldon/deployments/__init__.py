"""SeldonDeployment files: front only, read before anything of the graph is loaded."""

from __future__ import annotations

from modelport.contracts.seldon.deployments.read import read

__all__ = ["read"]
