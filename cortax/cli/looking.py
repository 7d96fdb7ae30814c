"""Sub-commands that look things up: scores, what changed in them and why, and what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.table import Table

from cortax.cli.app import app, console, print_table
from cortax.errors import ProjectError
from cortax.grid import results as looked_up
from cortax.grid.comparing_builds import find_build, reasons, score_changes, scores_of
from cortax.grid.failures import failures_of
from cortax.grid.network_results import is_network
from cortax.grid.writing import sort_table, write_table
from cortax.project import find_root

__all__ = ["errors", "print_best", "results"]


@app.command()
def results(
    study: Annotated[str, typer.Argument(help="name of a study that has been built")],
    where: Annotated[list[str] | None, typer.Option(help="column=pattern, such as target=sex; repeatable")] = None,
    folds: Annotated[bool, typer.Option(help="every fold instead of the mean over folds")] = False,
    best: Annotated[bool, typer.Option(help="only the best for each target, and how to look further")] = False,
    dropped: Annotated[bool, typer.Option(help="the subjects that were left out, and why")] = False,
    why: Annotated[bool, typer.Option(help="what ran in the last build that ran anything, and why")] = False,
    against: Annotated[str, typer.Option(help="what changed, and why, since `previous` or a time of `ax urd`")] = "",
    sort: Annotated[list[str] | None, typer.Option(help="column, or -column for the largest first; repeatable")] = None,
    to: Annotated[Path | None, typer.Option(help="write it to a file: .csv or .parquet (every column), .tex")] = None,
) -> None:
    """Print the scores of a study, what changed in them since another build, or why its jobs ran."""
    root = find_root()
    if why:
        _print_why(root, study)
        return
    if is_network(root, study):
        raise ProjectError(f"study {study!r} is one of networks: `cortax network {study}` has its links")
    if dropped:
        print_table(looked_up.left_out(root, study))
        return
    if best:
        print_best(root, study)
        return
    if against:
        _print_changes(root, study, against, where or [], folds=folds, sort=sort or [], to=to)
        return
    table = looked_up.filtered(looked_up.score_table(root, study), where or [])
    shown = sort_table(table if folds else looked_up.summary(table), sort or [])
    if to is None:
        print_table(shown)
        return
    # People read intervals as text, programs want their ends.
    every = (
        shown if folds or to.suffix == ".tex" else shown.drop(columns="interval").merge(table[table["fold"] == "mean"])
    )
    write_table(every, to)
    print(f"{to}: {len(every)} rows")


@app.command()
def errors(
    study: Annotated[str, typer.Argument(help="name of a study that a build was tried of")],
    traceback: Annotated[bool, typer.Option("--traceback", help="all that is known of each failed job")] = False,
) -> None:
    """Print what failed in the last build of a study, and what it would need; the next build tries just that."""
    root = find_root()
    failed, skipped = failures_of(root, study)
    for failure in failed:
        print(f"{failure.name} ({failure.job}): {failure.traceback if traceback else failure.message}")
    if any(failure.units for failure in failed):
        print_table(looked_up.attempts_table(failed))
    for name, needs in skipped.items():
        print(f"{name}: not tried, it needs {', '.join(needs)}")
    if failed:
        print(f"{len(failed)} jobs failed, {len(skipped)} were not tried; the next build tries them again")
        return
    fits = looked_up.failed_fits(root, study)
    if len(fits):
        print_table(fits)
    print(f"no job failed; {fits['fits'].sum()} fits failed inside searches, whose configurations cannot be chosen")


def _print_changes(
    root: Path, study: str, against: str, where: list[str], *, folds: bool, sort: list[str], to: Path | None
) -> None:
    before, after = find_build(root, study, against)
    old, new = scores_of(root, before), scores_of(root, after)
    changes = score_changes(old, new)
    n_same = len(new) - int((changes["what"] != "gone").sum())
    shown = looked_up.filtered(changes if folds else changes[changes["fold"] == "mean"], where)
    shown = sort_table(shown.reset_index(drop=True), sort)
    if to is not None:
        write_table(shown, to)
        print(f"{to}: {len(shown)} rows")
        return
    # A change may be far below what three digits show; what is new or gone has none.
    print_table(shown.assign(change=[f"{value:+.3g}" if pd.notna(value) else "" for value in shown["change"]]))
    console.print(f"\n{study}: {before.timestamp} ({before.caption}) -> {after.timestamp} ({after.caption})")
    console.print(f"of {len(new)} scores, folds and means, {n_same} are the same to the last digit")
    _print_reasons(reasons(root, before, after))


def _print_reasons(found: pd.DataFrame) -> None:
    if not len(found):
        console.print("no job that the scores rest on has other results")
        return
    table = Table("because of", "what", "jobs with other results", box=None, pad_edge=False)
    for kind, what, n_jobs, name in found.itertuples(index=False):
        table.add_row(kind, what, name if n_jobs == 1 else f"{n_jobs}, such as {name}")
    console.print(table)


def _print_why(root: Path, study: str) -> None:
    log = looked_up.build_log(root, study)
    table = Table("job", "id", "seconds", "why", box=None, pad_edge=False)
    for name, entry in log["ran"].items():
        why = "; ".join(entry["why"])
        same = f" (same results as {entry['same_as']})" if "same_as" in entry else ""
        table.add_row(name, entry["job"], f"{entry['seconds']:.1f}", why + same)
    console.print(table)
    console.print(f"{len(log['ran'])} of {len(log['jobs'])} jobs ran")


def print_best(root: Path, study: str) -> None:
    """The best parcellation and pipeline for each target by its first metric, and how to look further."""
    best = looked_up.best(looked_up.score_table(root, study))
    console.print(f"\n[bold]{study}[/bold]: for each target the best mean over folds (an optimistic choice among many)")
    print_table(best)
    console.print(f"{len(looked_up.left_out(root, study))} subjects were left out\n")
    console.print(
        f"cortax results {study}            every parcellation and pipeline\n"
        f"cortax results {study} --dropped  who was left out, and why\n"
        f"cortax results {study} --why      what ran, and why\n"
        f"ax urd :{study}:                  the jobs of this build\n"
        f"ax ds :{study}:scores             the scores as a dataset (also results/{study}/scores.parquet)"
    )
