"""Sub-commands that look things up: scores, and what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cortax.cli.app import app, console, print_table
from cortax.grid import results as looked_up
from cortax.grid.failures import failures_of
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
) -> None:
    """Print the scores of a study, or why its jobs ran."""
    root = find_root()
    if why:
        _print_why(root, study)
        return
    if dropped:
        print_table(looked_up.left_out(root, study))
        return
    if best:
        print_best(root, study)
        return
    table = looked_up.filtered(looked_up.score_table(root, study), where or [])
    print_table(table if folds else looked_up.summary(table))


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
