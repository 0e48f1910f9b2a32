"""Dataiku API node: Python prediction and Python function endpoints."""
