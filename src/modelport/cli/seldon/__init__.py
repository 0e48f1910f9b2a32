"""``modelport seldon``: the platform's own commands, each loaded only when it is used."""

from __future__ import annotations

from cyclopts import App

from modelport.cli.helping import help_of

MICROSERVICE = (
    "Serve a component as seldon-core-microservice does.",
    """The same options and environment variables. --help says which.""",
    ["modelport seldon microservice MyModel", "modelport seldon microservice my_package.MyModel --http-port 9001"],
)
DEPLOYMENT = (
    "Serve the inference graphs of SeldonDeployment files.",
    """A modelport.yaml beside the file says where the model of each container is. modelport inspect FILE shows the
    graph.""",
    ["modelport seldon deployment deployment.yaml", "modelport seldon deployment deployment.json --port 9000"],
)

app = App(name="seldon", help="Run components and graphs of Seldon Core v1.", sort_key=99)
app.command(
    "modelport.cli.seldon.microservice:microservice", name="microservice", help_flags=(), **help_of(*MICROSERVICE)
)
app.command("modelport.cli.seldon.deployment:deployment", name="deployment", **help_of(*DEPLOYMENT))
