"""A transform task: rows in, rows out."""

from __future__ import annotations


def transform(data, model):
    return data.assign(name=data["name"].str.strip().str.title(), age=data["age"].fillna(0))
