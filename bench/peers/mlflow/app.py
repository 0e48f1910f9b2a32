"""MLflow's own scoring server, one process: app.py FOLDER, which has an MLflow model. PORT comes from the environment.

`mlflow models serve --env-manager local` runs the same app under uvicorn, but keeps a second process for its
command line, which would only add to the start and to the memory.
"""

from __future__ import annotations

import os
import sys

import uvicorn
from mlflow.pyfunc import load_model, scoring_server

if __name__ == "__main__":
    app = scoring_server.init(load_model(sys.argv[1]))
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), workers=1, access_log=False)
