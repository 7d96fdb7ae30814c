"""What the last build of a study found, for people at a terminal and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortax.errors import ProjectError, StudyError, choices
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.study.patterns import Patterns
from cortax.workflow.build.failures import JobFailure
from cortax.workflow.workload import Table, Workload, resolve, workload_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["attempts_table", "build_log", "built_workload", "filtered", "job_folder", "read_table", "table_of"]


def _linked(root: Path, study: str, name: str) -> Path:
    path = root / "results" / study / name
    if not path.exists():
        built = sorted(p.name for p in (root / "results").glob("[!.]*") if (p / name).exists())
        hint = choices(study, built) if built else "no study has been built yet; run `make build`"
        raise ProjectError(f"no results of study {study!r}: {hint}")
    return path


def build_log(root: Path, study: str) -> dict[str, Any]:
    """Return what the last build that ran any job did: `kind`, and by job name `jobs`, `what` (method, key) and `ran`.

    Raises
    ------
    ProjectError
        The study has not been built here.
    """
    content: dict[str, Any] = json.loads(_linked(root, study, "build.json").read_text())
    return content


def built_workload(root: Path, study: str) -> Workload:
    """Return the workload of a study that has been built.

    Raises
    ------
    ProjectError
        The study has not been built here, or its workload is gone.
    """
    return workload_of(build_log(root, study)["kind"])


def table_of(workload: Workload, name: str) -> Table:
    """Return a table of a workload; its first without a name.

    Raises
    ------
    ProjectError
        It has none of that name.
    """
    name = name or next(iter(workload.tables), "")
    if name not in workload.tables:
        raise ProjectError(f"--table: a study of kind {workload.kind!r} has tables: {choices(name, workload.tables)}")
    return workload.tables[name]


def read_table(root: Path, study: str, name: str = "") -> pd.DataFrame:
    """Return a table of the last finished build of a study.

    Parameters
    ----------
    root : Path
        The project.
    study : str
    name : str
        Of one of the workload's tables; the first unless it is said.

    Returns
    -------
    DataFrame
        The tables of all jobs of the table's method, one below the other, each after columns of its job's key.

    Raises
    ------
    ProjectError
        The study has not been built here, or has no such table, or it was altered since.
    """
    log = build_log(root, study)
    workload = workload_of(log["kind"])
    name = name or next(iter(workload.tables), "")
    table = table_of(workload, name)
    if table.read:
        found: pd.DataFrame = resolve(table.read)(root, log)
        return found
    jobs = {log["jobs"][job]: what["key"] for job, what in log["what"].items() if what["method"] == table.method}
    if not jobs:
        section = f"put {table.missing} into its file and build it; if that is there, " if table.missing else ""
        raise ProjectError(
            f"the last build of study {study!r} has no {name}: {section}`cortax errors {study}` says what failed"
        )
    return tables_of_jobs(root, table, jobs)


def tables_of_jobs(root: Path, table: Table, jobs: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Put the tables of jobs together, by id with their keys.

    Raises
    ------
    ProjectError
        One is gone, or was altered since.
    """
    import pandas as pd

    parts = []
    for job, key in jobs.items():
        folder = jobs_folder(root) / job
        outputs.check(folder)
        part = _read(folder / table.file)
        for place, (axis, value) in enumerate(key.items()):
            part.insert(place, axis, value)
        parts.append(part)
    whole = pd.concat(parts, ignore_index=True)
    finished: pd.DataFrame = resolve(table.finish)(whole) if table.finish else whole
    return finished


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".tsv":
        # Names of genes or regions may look like missing values.
        return pd.read_csv(path, sep="\t", keep_default_na=False)
    return pd.read_parquet(path)


def job_folder(root: Path, study: str, name: str, help: str, missing: str) -> Path:  # noqa: A002 - as in `Table`
    """Return the folder of a job that only some studies ask for, checked.

    Raises
    ------
    ProjectError
        The study has not been built here, or without it, or it was altered since.
    """
    job = build_log(root, study)["jobs"].get(name)
    if job is None:
        raise ProjectError(
            f"the last build of study {study!r} has no {help}: put {missing} into its file and build it; if that is "
            f"there, `cortax errors {study}` says what failed"
        )
    folder = jobs_folder(root) / str(job)
    outputs.check(folder)
    return folder


def filtered(table: pd.DataFrame, conditions: list[str]) -> pd.DataFrame:
    """Keep the rows that meet every condition.

    Parameters
    ----------
    table : DataFrame
        The scores.
    conditions : list of str
        `column=pattern`, where the pattern may hold `*` and `?`, or alternatives separated by commas.

    Raises
    ------
    StudyError
        A condition has no `=`, or names a column that the table does not have.
    """
    for condition in conditions:
        column, equals, patterns = condition.partition("=")
        if not equals:
            raise StudyError(f"--where {condition!r}: must look like column=value, such as target=sex")
        if column not in table:
            raise StudyError(f"--where {condition!r}: {choices(column, table.columns)}")
        table = table[table[column].astype(str).map(Patterns(tuple(patterns.split(","))).matches).astype(bool)]
    return table


def attempts_table(failures: Iterable[JobFailure]) -> pd.DataFrame:
    """List every attempt at every unit that failed: one row each, sizes in GB.

    Returns
    -------
    DataFrame
        job, units, attempt, kind, message, seconds, peak, allowed, needs, workers, again.
    """
    import pandas as pd

    rows = [
        {
            "job": failure.name,
            "units": "; ".join(unit.keys),
            "attempt": unit.attempt,
            "kind": unit.kind,
            "message": unit.message,
            "seconds": unit.seconds,
            **{name: getattr(unit, name) / 1e9 for name in ("peak", "allowed", "needs")},
            "workers": unit.workers,
            "again": "next build" if unit.final else "was tried again",
        }
        for failure in failures
        for unit in failure.units
    ]
    return pd.DataFrame(rows)
