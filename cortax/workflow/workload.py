"""The contract of a workload: all that the engine knows of a kind of studies.

A workload is one folder with a study model, a plan, methods and a page. The engine finds it by the `kind` of a study
file, in the table below or among the entry points `cortax.workloads` of installed packages, and imports it only then.
"""

from __future__ import annotations

import functools
import importlib.metadata
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortax.errors import ProjectError, StudyError, choices

if TYPE_CHECKING:
    from cortax.study.section import Study
    from cortax.workflow.plan.jobspec import JobSpec
    from cortax.workflow.plan.past import PastJobs

__all__ = ["DEFAULT", "Planning", "Table", "Workload", "kinds", "read_study", "resolve", "workload_of"]

# What a study file without `kind` is of.
DEFAULT = "regions"
GROUP = "cortax.workloads"
_OWN = {
    "regions": "cortax.workloads.regions:workload",
    "network": "cortax.workloads.network:workload",
    "decoding": "cortax.workloads.decoding:workload",
    "diffusion": "cortax.workloads.diffusion:workload",
    "sequences": "cortax.workloads.sequences:workload",
    "bench": "cortax.workloads.bench:workload",
}


@dataclass(frozen=True)
class Planning:
    """What a plan may look at.

    Attributes
    ----------
    root : Path
        The project, which the paths in a study are relative to.
    digest_of : callable
        Gives the digest of an input file; it remembers files that have not changed.
    past : PastJobs, optional
        What was done before. It decides how work is cut into jobs, never what is computed.
    """

    root: Path
    digest_of: Callable[[Path], str]
    past: PastJobs | None = None


@dataclass(frozen=True)
class Table:
    """A table that users look up: `cortax results STUDY --table NAME`.

    Attributes
    ----------
    method : str
        The method whose jobs have it. The tables of several jobs are put together, each with its job's key.
    file : str
        Parquet or tab-separated text.
    help : str
        What it has, in a few words.
    read : str
        "module:function" that is given the project's folder and the build's log and returns the table, where it is not
        the file of one method.
    finish : str
        "module:function" that is given the whole table and returns what people look up; nothing if that is the table.
    summary : str
        "module:function" that makes of it what a terminal shows unless every row is asked for.
    identity : tuple of str
        The columns that say which row it is: what `--against` compares by.
    value : str
        The column that it compares.
    missing : str
        What a study must say so that there is such a table.
    """

    method: str
    file: str
    help: str
    read: str = ""
    finish: str = ""
    summary: str = ""
    identity: tuple[str, ...] = ()
    value: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Workload:
    """A kind of studies. What is given as "module:name" is imported when it is used.

    Attributes
    ----------
    kind : str
        What a study file says: `kind = "network"`.
    axes : tuple of str
        What jobs differ by: the axes of their keys, of `--restrict` and of tables.
    study : str
        The pydantic model of its study files, a `cortax.study.section.Study`.
    plan : str
        A function of the study and a `Planning` that returns the jobs of the study, in any order.
    check : str
        A function of the study and the project's folder that raises a CortaxError unless the study can work: it looks
        at what can be looked at in seconds.
    essential : str
        The method without whose jobs a build found nothing.
    finding : str
        What those jobs have, in the plural, for messages: "scores".
    narrowed : tuple of str
        The methods whose jobs a narrowed build asks for; jobs that collect are left out of it.
    units : mapping of method to str
        Methods whose jobs are counted by units of work, and what a unit is: "forest x target gene".
    tables : mapping of name to Table
        The first is shown unless another is named.
    failures : str
        The table of what failed inside jobs that ended well; `cortax errors` shows it.
    lacking : str
        A function of the project's folder and the record of a build (`jobs`: ids by name) that says what it lacks
        although all jobs ended well, such as scores that are NaN: a list of texts. The build fails if there are any.
    summary : str
        A function of the project's folder and the study's name that prints what a build found, for a terminal.
    commands : str
        A typer.Typer with commands of its own; they are sub-commands of `cortax`. Its module must be light to import.
    compiled : tuple of str
        Functions without arguments, each of which has machine code compiled that its jobs need; `cortax compile` calls
        them at once in processes of their own. A job compiles what it does not find.
    """

    kind: str
    axes: tuple[str, ...]
    study: str
    plan: str
    check: str
    essential: str
    finding: str
    narrowed: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    failures: str = ""
    lacking: str = ""
    summary: str = ""
    commands: str = ""
    compiled: tuple[str, ...] = ()

    def load(self, part: str) -> Any:
        """Import what an attribute names.

        Raises
        ------
        ProjectError
            It cannot be imported; the message names the workload.
        """
        return resolve(getattr(self, part), f"workload {self.kind!r}: {part}")

    def plan_jobs(self, study: Study, planning: Planning) -> list[JobSpec]:
        """Return the jobs of a study."""
        jobs: Iterable[JobSpec] = self.load("plan")(study, planning)
        return list(jobs)


def resolve(reference: str, where: str = "reference") -> Any:
    """Import what "module:name" names.

    Raises
    ------
    ProjectError
        It cannot be imported.
    """
    try:
        return pkgutil.resolve_name(reference)
    except Exception as error:
        raise ProjectError(
            f"{where} = {reference!r} cannot be imported ({type(error).__name__}: {error}); the other workloads work"
        ) from error


@functools.cache
def _references() -> dict[str, tuple[str, ...]]:
    """Where each kind's workload is said to be: once, unless two packages claim one name."""
    found: dict[str, tuple[str, ...]] = {kind: (reference,) for kind, reference in _OWN.items()}
    # By name: folders list packages in any order, and the first that brings a command has it.
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        # A package that is seen twice, from its source and installed, says the same twice.
        found[entry.name] = tuple(dict.fromkeys([*found.get(entry.name, ()), entry.value]))
    return found


def kinds() -> list[str]:
    """Return the names of all workloads, cortax's own first; none is imported."""
    return list(_references())


@functools.cache
def workload_of(kind: str) -> Workload:
    """Return the workload of a kind.

    Raises
    ------
    StudyError
        There is none of that name.
    ProjectError
        Two packages have one of that name, it cannot be imported, or is no `Workload`, or one of another kind.
    """
    references = _references().get(kind)
    if references is None:
        raise StudyError(f"kind: {choices(kind, kinds())}")
    if len(references) > 1:
        raise ProjectError(
            f"workload {kind!r} is claimed by several packages: {list(references)}; uninstall all but one"
        )
    found = resolve(references[0], f"workload {kind!r}")
    if not isinstance(found, Workload):
        raise ProjectError(
            f"workload {kind!r}: {references[0]!r} must be a Workload. Got {type(found).__name__} instead"
        )
    if found.kind != kind:
        raise ProjectError(f"workload {kind!r}: {references[0]!r} calls itself {found.kind!r}")
    return found


def read_study(path: str | Path, kind: str = "") -> Any:
    """Read and validate a study file.

    Parameters
    ----------
    path : path
    kind : str
        The only kind that will do; any if it is not said.

    Returns
    -------
    Study
        Of the model of its workload, see `workload_of`.

    Raises
    ------
    CortaxError
        The file or its kind is wrong, see `parse_study` and `workload_of`; the message names the file.

    Examples
    --------
    >>> study = cortax.read_study("studies/demo.toml")
    >>> study.kind, study.pipelines["ridge"].n_configs
    ('regions', 10)
    """
    from cortax.study.reading import parse_study, read_toml

    path = Path(path)
    content = read_toml(path)
    try:
        found = str(content.setdefault("kind", DEFAULT))
        if kind and found != kind:
            raise StudyError(f"kind = {found!r}: this is for studies with kind = {kind!r}")
        model = workload_of(found).load("study")
    except (StudyError, ProjectError) as error:
        raise type(error)(f"{path}: {error}") from error
    return parse_study(path, content, model)
