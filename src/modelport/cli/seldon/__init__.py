"""``modelport seldon``: the platform's own commands, each loaded only when it is used."""

from __future__ import annotations

from cyclopts import App

from modelport.cli.helping import help_of

MICROSERVICE = (
    "Serve a component as seldon-core-microservice does.",
    """The same options and environment variables. --help says which.""",
    ["modelport seldon microservice MyModel", "modelport seldon microservice my_package.MyModel --http-port 9001"],
)

app = App(name="seldon", help="Run components of Seldon Core v1.", sort_key=99)
app.command(
    "modelport.cli.seldon.microservice:microservice", name="microservice", help_flags=(), **help_of(*MICROSERVICE)
)
