"""Where a component's files come from."""

from __future__ import annotations

import os
import shutil
from urllib.parse import unquote, urlsplit


class Storage:
    """Files on this machine only: what lies elsewhere is to be brought here before the component is served."""

    @staticmethod
    def download(uri: str, out_dir: str | None = None) -> str:
        """The local folder (or file) of a path or ``file://`` URL; with ``out_dir`` it is copied there."""
        parts = urlsplit(uri)
        if parts.scheme not in ("", "file"):
            raise RuntimeError(f"{uri} is not on this machine: download it, and give its path")
        path = unquote(parts.path) if parts.scheme else uri
        if not os.path.exists(path):
            raise RuntimeError(f"there is nothing at {path}")
        if out_dir is None:
            return path
        if os.path.isdir(path):
            shutil.copytree(path, out_dir, dirs_exist_ok=True)
        else:
            os.makedirs(out_dir, exist_ok=True)
            shutil.copy(path, out_dir)
        return out_dir
