"""The command itself, and the commands that workloads bring."""

from __future__ import annotations

import atexit
import functools
import gc
import sys
from typing import NoReturn

import typer

from cortax.errors import CortaxError
from cortax.provenance.closure.places import root_or_none
from cortax.workflow.workload import kinds, workload_of

__all__ = ["add_workload_commands", "app", "main"]

# Without rich help: it takes as long to import as all the rest.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Which parcellation, which model, which target: cross them all, and keep what has not changed."""


@functools.cache  # once, however often a program calls `main`
def add_workload_commands(to: typer.Typer) -> None:
    """Add the commands of all workloads; one that cannot be imported is named, and the others work."""
    for kind in kinds():
        try:
            workload = workload_of(kind)
            commands = workload.load("commands") if workload.commands else typer.Typer()
            names = {_name(command) for command in to.registered_commands}
            if twice := sorted(names.intersection(map(_name, commands.registered_commands))):
                print(f"cortax: workload {kind!r} has commands that exist already: {twice}", file=sys.stderr)
                continue
        except CortaxError as error:
            print(f"cortax: {error}", file=sys.stderr)
            continue
        to.registered_commands += commands.registered_commands


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")


def main() -> NoReturn:
    """Run the command; errors that cortax raises on purpose are one message, no traceback."""
    atexit.register(gc.freeze)  # what was imported is no garbage: looking through it at the end takes up to a second
    if root := root_or_none():
        sys.path.insert(0, str(root))  # a project's own models can be imported, as in its builds
    add_workload_commands(app)
    try:
        app()
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
