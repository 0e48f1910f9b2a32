"""``modelport drum``: the platform's own verbs, each loaded only when it is used."""

from __future__ import annotations

from cyclopts import App

from modelport.cli.helping import help_of

VERBS = {
    "score": (
        "Score a file with a code folder.",
        """Without a target type and without class labels the model is taken for a regression. Chunks of whole records
        go through the model, so memory stays constant; the answer is CSV, on standard output without --output.
        What an unstructured model returns is written as it is. Exit code 1 when the model fails.""",
        [
            "modelport drum score --code-dir ./model --input rows.csv --output predictions.csv",
            "modelport drum score --code-dir ./model --input a.csv --positive-class-label 1 --negative-class-label 0",
            "modelport drum score --code-dir ./model --target-type unstructured --input text.txt --query lang=en",
        ],
    ),
    "server": (
        "Serve a code folder.",
        """Answers the platform's routes (/predict/ and its neighbours), the Open Inference Protocol and the others, on
        127.0.0.1 port 8080 unless --address says otherwise. A model that does not load leaves the server up, answering
        513 with the reason, unless --exit-on-load-error is given.""",
        [
            "modelport drum server --code-dir ./model --target-type regression",
            "modelport drum server --code-dir ./model --address 0.0.0.0:8080 --insecure --workers 4",
        ],
    ),
    "validation": (
        "Try a code folder on the rows of a file.",
        """With the first rows of the file: a missing value in each column, row counts, side effects between calls,
        and whether a row's answer depends on its neighbours or on its place. Exit code 1 when one of these fails.""",
        ["modelport drum validation --code-dir ./model --input rows.csv --target-type regression"],
    ),
    "perf-test": (
        "Measure how long requests of 1 row, 10 rows and so on take.",
        """Rows come from the file, repeated as needed. Times are those of one worker, without HTTP; modelport bench
        measures a server under load.""",
        [
            "modelport drum perf-test --code-dir ./model --input rows.csv --output plot.svg",
            "modelport drum perf-test --code-dir ./model --input rows.csv --samples 1 500 --iterations 50 --json",
        ],
    ),
}
"""Name to one line of help, more help, and examples."""

NEW_MODEL = (
    "Make a working code folder.",
    """custom.py, a scikit-learn model and what trained it, model-metadata.yaml, data.csv and a README.md.""",
    ["modelport drum new model --language python ./model"],
)


app = App(name="drum", help="Run code folders of DataRobot DRUM: score, serve, validate, measure.", sort_key=99)
app.help_epilogue = "Start with: modelport drum new model --language python ./model\n"
_new = App(name="new", help="Make a working code folder.", sort_key=0)
_new.command("modelport.cli.drum.new:model", name="model", **help_of(*NEW_MODEL))
app.command(_new)
for _order, (_verb, _told) in enumerate(VERBS.items(), 1):
    _name = _verb.replace("-", "_")
    app.command(f"modelport.cli.drum.{_name}:{_name}", name=_verb, sort_key=_order, **help_of(*_told))
