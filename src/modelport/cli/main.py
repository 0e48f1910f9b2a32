"""``modelport``: the verbs, each loaded only when it is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cyclopts import App

from modelport import __version__
from modelport.cli import deepaas, drum, seldon
from modelport.cli.complain import complain
from modelport.cli.helping import help_of
from modelport.errors import SetupError

if TYPE_CHECKING:
    from cyclopts import CycloptsError

VERBS = {
    "new": (
        "Make a working model folder.",
        """A folder with models of that platform, trained on real data, saved test queries and a README.md.""",
        ["modelport new dataiku ./service", "modelport new deepaas ./package", "modelport new seldon ./component"],
    ),
    "serve": (
        "Serve models from folders and files.",
        """Finds what the models are, starts workers, and answers their own platform's API and the Open Inference
        Protocol. Ctrl-C finishes what runs, then stops.""",
        ["modelport serve ./service", "modelport serve ./service ./other/predictor.py --port 0"],
    ),
    "check": (
        "Load models and try them, without a server.",
        """Loads each model in a real worker, replays its saved test queries, then tries missing values, wrong
        types, an empty batch, and whether a row's answer depends on its neighbours. Exit code 1 when a check
        fails.""",
        ["modelport check ./service", "modelport check ./service --endpoint iris --json"],
    ),
    "call": (
        "Send one request to a model or a server.",
        """A path loads the model in a worker and asks it; a URL asks a running server. Without --data, a path is
        asked its first saved test query and a URL is read with GET. Exit code 0 for a 2xx answer, else 1.""",
        [
            "modelport call ./service --endpoint iris",
            "modelport call http://127.0.0.1:8080/v2/models/iris",
            "modelport call http://127.0.0.1:8080/public/api/v1/service/iris/predict --data @query.json --key KEY",
        ],
    ),
    "score": (
        "Score a file.",
        """Sends the file through the model in chunks of whole records, so that memory stays constant, and writes CSV:
        one row for each of its rows. Also takes Arrow and MTX files, and what an unstructured model takes; those go in
        one piece. Exit code 1 when the model fails; then nothing is written to --output.""",
        [
            "modelport score ./service --endpoint iris --input flowers.csv --output species.csv",
            "zcat rows.csv.gz | modelport score ./model --input - > predictions.csv",
        ],
    ),
    "bench": (
        "Measure latency under a steady load.",
        """Requests leave on a fixed schedule, whether or not earlier ones were answered, and each is timed from
        the moment it should have left. Without --rate or --ramp, five rates up to nine tenths of what the server
        can do are measured.""",
        [
            "modelport bench ./service --endpoint iris --html curve.html",
            "modelport bench http://127.0.0.1:8080/v2/models/iris/infer --data @query.json --rate 200 --rate 400",
        ],
    ),
    "pack": (
        "Make a package of a model folder.",
        """One file with the folder as it is, the hash of each of its files, and a card: target, class labels,
        threshold, features. The card comes from the folder's own description, from the section package of
        modelport.yaml, or from --card; --data adds what training data tells of the features. The same folder makes the
        same bytes.""",
        ["modelport pack ./model -o fraud.mlpkg", "modelport pack ./model --card card.yaml -o fraud.mlpkg"],
    ),
    "inspect": (
        "Say what is at a path.",
        """Names, platforms and workers of the models there, an inference graph as a tree; of a package its card and its
        files, verified. None of their code runs.""",
        ["modelport inspect ./service", "modelport inspect deployment.yaml", "modelport inspect fraud.mlpkg"],
    ),
    "doctor": (
        "Say what is installed, missing, or needed by a model.",
        """Runs none of the model's code. Exit code 1 when something would fail.""",
        ["modelport doctor", "modelport doctor ./service"],
    ),
}
"""Name to one line of help, more help, and examples; the verb is the function of that name in its own module."""

PPS = (
    "Serve packages the way DataRobot's Portable Prediction Server does.",
    """Reads the platform's own variables (PREDICTION_API_WORKERS and so on) from the environment and from
    /opt/ml/config. A package right in the folder is served alone, at /predictions; packages in folders of their own at
    /deployments/FOLDER/predictions. On 127.0.0.1 unless --host says otherwise, port 8080, or 8443 with TLS.""",
    ["modelport pps ./packages", "PREDICTION_API_WORKERS=2 modelport pps ./packages/fraud.mlpkg --port 9000"],
)


def main() -> None:
    """Runs the command line. Errors that a user can mend are told in a line or two, with exit code 2."""
    try:
        app()
    except SetupError as error:
        complain(error)
        sys.exit(2)
    except BrokenPipeError:  # whoever read our output has left
        sys.stderr.close()
        sys.exit(1)


def _misuse(error: CycloptsError) -> Any:
    from rich.text import Text

    verb = " ".join(["modelport", *(error.command_chain or ())])
    return Text(f"error: {error}\nhint: {verb} --help")


app = App(
    name="modelport",
    help="Serve models written for other platforms, unchanged, behind those platforms' own APIs.",
    help_epilogue="Start with: modelport new dataiku ./service\n",
    version=__version__,
    help_format="plaintext",
    error_formatter=_misuse,
)
for _order, (_verb, _told) in enumerate(VERBS.items()):
    app.command(f"modelport.cli.{_verb}:{_verb}", name=_verb, sort_key=_order, **help_of(*_told))
app.command("modelport.cli.pps.start:pps", name="pps", sort_key=99, **help_of(*PPS))
app.command(deepaas.app)
app.command(drum.app)
app.command(seldon.app)
