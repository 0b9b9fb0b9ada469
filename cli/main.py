"""The ``fogline`` command: a thin face of the Python API.

Command modules import only typer here; what a command needs is imported when it runs, so ``fogline --help`` is quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fogline.cli.console import print_error
from fogline.core.errors import ConfigurationError, DataError, FoglineError, MissingDependencyError

COMMANDS: tuple[tuple[str, str], ...] = (
    ("envs", "fogline.cli.envs:envs"),
    ("play", "fogline.cli.play:play"),
    ("eval", "fogline.cli.eval:evaluate"),
    ("sweep", "fogline.cli.sweep:sweep"),
    ("report", "fogline.cli.report:report"),
    ("rescore", "fogline.cli.rescore:rescore"),
    ("train", "fogline.cli.train:train"),
    ("sft", "fogline.cli.sft:sft"),
    ("teach", "fogline.cli.teach:teach"),
    ("serve", "fogline.cli.serve:serve"),
    ("recipes", "fogline.cli.recipes:recipes"),
    ("reproduce", "fogline.cli.reproduce:reproduce"),
    ("customers", "fogline.cli.customers:customers"),
    ("merchants", "fogline.cli.merchants:merchants"),
    ("export", "fogline.cli.export:export"),
    ("bench", "fogline.cli.bench:bench"),
)
"""Name of each command and where its function is, or its group of commands; a new command adds its line."""

INTERRUPTED = 130
_BAD_USAGE = (ConfigurationError, DataError, MissingDependencyError)


class FoglineGroup(TyperGroup):
    """Turns fogline's own errors into one line and an exit status: 2 for bad usage, 1 for a failure on the way."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except FoglineError as error:
            print_error(str(error))
            raise typer.Exit(2 if isinstance(error, _BAD_USAGE) else 1) from error
        except KeyboardInterrupt:
            print_error("interrupted.")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="fogline",
    cls=FoglineGroup,
    help="Environments, simulators and trainers for agents that act on partial information.",
    epilog="Start with: fogline play TrustSQL-v0 --agent oracle",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"fogline {version('fogline')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Environments, simulators and trainers for agents that act on partial information."""
    # An agent of the user's own, "module:Class", is looked for where the command was given, too.
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)


def _register(name: str, path: str) -> None:
    module, _, attribute = path.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name)(found)


for _name, _path in COMMANDS:
    _register(_name, _path)

if __name__ == "__main__":
    app()
