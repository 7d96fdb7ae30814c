"""Sub-commands that look things up: tables, what changed in them and why, and what failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cortax.cli.app import app
from cortax.project import find_root
from cortax.terminal import console, print_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["errors", "results"]


@app.command()
def results(
    study: Annotated[str, typer.Argument(help="name of a study that has been built")],
    table: Annotated[str, typer.Option(help="another table than the first; a wrong name lists all")] = "",
    where: Annotated[list[str] | None, typer.Option(help="column=pattern, such as target=sex; repeatable")] = None,
    folds: Annotated[bool, typer.Option(help="every row, such as each fold, instead of a summary")] = False,
    best: Annotated[bool, typer.Option(help="only what matters most, and how to look further")] = False,
    why: Annotated[bool, typer.Option(help="what ran in the last build that ran anything, and why")] = False,
    against: Annotated[str, typer.Option(help="what changed, and why, since `previous` or a time of `ax urd`")] = "",
    sort: Annotated[list[str] | None, typer.Option(help="column, or -column for the largest first; repeatable")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="how many are printed; all if not given")] = None,
    to: Annotated[Path | None, typer.Option(help="write it to a file: .csv or .parquet (every column), .tex")] = None,
) -> None:
    """Print the tables of a study, what changed in them since another build, or why its jobs ran."""
    from cortax.workflow.lookup.results import built_workload, filtered, read_table, table_of
    from cortax.workflow.lookup.writing import sort_table, write_table
    from cortax.workflow.workload import resolve

    root = find_root()
    if why:
        _print_why(root, study)
        return
    workload = built_workload(root, study)
    if best:
        workload.load("summary")(root, study)
        return
    if against:
        _print_changes(root, study, table, against, where=where or [], folds=folds, sort=sort or [], to=to)
        return
    kind = table_of(workload, table)
    whole = filtered(read_table(root, study, table), where or [])
    shown = sort_table(resolve(kind.summary)(whole) if kind.summary and not folds else whole, sort or [])
    if to is None:
        print_table(shown if rows is None else shown.head(rows))
        if rows is not None and len(shown) > rows:
            console().print(f"of {len(shown)}; --to writes all")
        return
    # People read intervals as text, programs want their ends.
    text = [column for column in shown if column not in whole]
    every = shown if to.suffix == ".tex" or not text else shown.drop(columns=text).merge(whole)
    write_table(every, to)
    print(f"{to}: {len(every)} rows")


@app.command()
def errors(
    study: Annotated[str, typer.Argument(help="name of a study that a build was tried of")],
    traceback: Annotated[bool, typer.Option("--traceback", help="all that is known of each failed job")] = False,
) -> None:
    """Print what failed in the last build of a study, and what it would need; the next build tries just that."""
    from cortax.workflow.build.failures import failures_of
    from cortax.workflow.lookup.results import attempts_table, build_log, built_workload, read_table

    root = find_root()
    failed, skipped = failures_of(root, study)
    for failure in failed:
        print(f"{failure.name} ({failure.job}): {failure.traceback if traceback else failure.message}")
    if any(failure.units for failure in failed):
        print_table(attempts_table(failed))
    for name, needs in skipped.items():
        print(f"{name}: not tried, it needs {', '.join(needs)}")
    if failed:
        print(f"{len(failed)} jobs failed, {len(skipped)} were not tried; the next build tries them again")
        return
    lacking = build_log(root, study).get("lacking", [])
    for text in lacking:
        print(text)
    print(f"no job failed, but {len(lacking)} results are missing" if lacking else "no job failed")
    if name := built_workload(root, study).failures:
        inside = read_table(root, study, name)
        if len(inside):
            print_table(inside)
        print(f"{len(inside)} kinds of failures inside jobs that ended well: see --table {name} of `cortax results`")


def _print_changes(
    root: Path,
    study: str,
    name: str,
    against: str,
    *,
    where: list[str],
    folds: bool,
    sort: list[str],
    to: Path | None,
) -> None:
    # As many parameters as the command has options.
    import pandas as pd

    from cortax.errors import ProjectError
    from cortax.workflow.lookup.comparing_builds import find_build, reasons, table_of_build, value_changes
    from cortax.workflow.lookup.results import built_workload, filtered, table_of
    from cortax.workflow.lookup.writing import sort_table, write_table

    table = table_of(built_workload(root, study), name)
    if not table.identity:
        raise ProjectError(f"--against: the table of {table.help} has no values that could be compared")
    before, after = find_build(root, study, against)
    old, new = table_of_build(root, before, table), table_of_build(root, after, table)
    changes = value_changes(old, new, table)
    n_same = len(new) - int((changes["what"] != "gone").sum())
    means = changes if folds or "fold" not in changes else changes[changes["fold"] == "mean"]
    shown = sort_table(filtered(means, where).reset_index(drop=True), sort)
    if to is not None:
        write_table(shown, to)
        print(f"{to}: {len(shown)} rows")
        return
    # A change may be far below what three digits show; what is new or gone has none.
    print_table(shown.assign(change=[f"{value:+.3g}" if pd.notna(value) else "" for value in shown["change"]]))
    say = console().print
    say(f"\n{study}: {before.timestamp} ({before.caption}) -> {after.timestamp} ({after.caption})")
    say(f"of {len(new)} values, {n_same} are the same to the last digit")
    _print_reasons(reasons(root, before, after, table))


def _print_reasons(causes: pd.DataFrame) -> None:
    from rich.table import Table

    if not len(causes):
        console().print("no job that the table rests on has other results")
        return
    table = Table("because of", "what", "jobs with other results", box=None, pad_edge=False)
    for kind, what, n_jobs, name in causes.itertuples(index=False):
        table.add_row(kind, what, name if n_jobs == 1 else f"{n_jobs}, such as {name}")
    console().print(table)


def _print_why(root: Path, study: str) -> None:
    from rich.table import Table

    from cortax.workflow.lookup.results import build_log

    log = build_log(root, study)
    table = Table("job", "id", "seconds", "why", box=None, pad_edge=False)
    for name, entry in log["ran"].items():
        why = "; ".join(entry["why"])
        same = f" (same results as {entry['same_as']})" if "same_as" in entry else ""
        table.add_row(name, entry["job"], f"{entry['seconds']:.1f}", why + same)
    console().print(table)
    console().print(f"{len(log['ran'])} of {len(log['jobs'])} jobs ran")
