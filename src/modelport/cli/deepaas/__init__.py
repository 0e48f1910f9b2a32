"""``modelport deepaas``: the platform's own commands, each loaded only when it is used."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from modelport.cli.helping import help_of

VERBS = {
    "run": (
        "Serve the models that are installed, or those of a folder.",
        """Answers the platform's API on 127.0.0.1 port 5000; other protocols are behind their names, as in /oip/v2.
        Options are those of deepaas-run, which an ini file may hold too, and Modelport's own. A model that does not
        load ends the server. DEEPAAS_V2_MODEL names the model where --model-name does not.""",
        [
            "modelport deepaas run --env ./venv --model-name my-model",
            "modelport deepaas run ./package --listen-port 5001 --workers 2 --notrain-endpoint",
        ],
    ),
    "predict": (
        "Ask a model about a file, or a URL.",
        """The file goes into the model's argument for files, the URL into that for URLs; the answer is written into the
        folder --output. Exit code 1 when the model fails.""",
        [
            "modelport deepaas predict --input-file cat.jpg --output ./answers",
            "modelport deepaas predict ./package -i https://example.org/cat.jpg --url -o ./answers -ct image/png",
        ],
    ),
    "cli": (
        "Call one of a model's functions.",
        """get_metadata, warm, predict or train, each in this one run and without a server. Each of its arguments is an
        option; those for files take a path. --help after the function lists them.""",
        [
            "modelport deepaas cli --model-name my-model predict --help",
            "modelport deepaas cli ./package predict --image cat.jpg --deepaas_method_output out.json",
        ],
    ),
}
"""Name to one line of help, more help, and examples."""

app = App(name="deepaas", help="Run models of DEEPaaS V2: serve them, ask them, call them.", sort_key=98)
app.help_epilogue = "Start with: modelport new deepaas ./package\n"
for _order, (_verb, _told) in enumerate(VERBS.items()):
    _own: dict[str, Any] = {"help_flags": []} if _verb == "cli" else {}  # which has help on each function
    app.command(f"modelport.cli.deepaas.{_verb}:{_verb}", name=_verb, sort_key=_order, **help_of(*_told), **_own)
