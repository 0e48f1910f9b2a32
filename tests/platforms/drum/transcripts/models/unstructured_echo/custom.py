# Reports what the hook was handed, so a client can see how the request was decoded.
from __future__ import annotations

import json


def load_model(code_dir):
    return "echo"


def score_unstructured(model, data, query=None, **kwargs):
    text = isinstance(data, str)
    return json.dumps(
        {
            "model": model,
            "type": "str" if text else "bytes",
            "value": data if text else data.hex(),
            "mimetype": kwargs.get("mimetype"),
            "charset": kwargs.get("charset"),
            "query": {k: query[k] for k in sorted(query)} if query else {},
        },
        ensure_ascii=False,
    )
