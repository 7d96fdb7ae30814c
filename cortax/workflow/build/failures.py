"""Jobs that failed in a build: what failed, why, and what would help; kept until a build mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.store import write_whole
from cortax.workflow.work.units import UnitFailure

__all__ = ["JobFailure", "failures_of", "job_failure", "note_failures"]

# How Exax words that a slice or a launcher was killed: by a person, for want of memory, by the start of another build.
_NOT_BUILT = "Not built"
_KILLED = ("terminated with exitcode -", "[invalid data] (probably killed)", _NOT_BUILT)
_OWN = re.compile(r"^cortax\.errors\.\w+: (.*)", re.M | re.S)


@dataclass(frozen=True)
class JobFailure:
    """A job that did not end well.

    Attributes
    ----------
    name : str
        The job's name in the study.
    job : str
        Its Exax id.
    message : str
        The error, without its traceback.
    traceback : str
        All that Exax has of it.
    units : list of UnitFailure
        What failed in it, where it works by units: every attempt.
    """

    name: str
    job: str
    message: str
    traceback: str
    units: list[UnitFailure] = field(default_factory=list)

    @property
    def killed(self) -> bool:
        """Whether a process was killed from outside, so that the same job may well succeed."""
        return any(words in self.message for words in _KILLED)

    @property
    def begun(self) -> bool:
        """Whether the server ran the job at all."""
        return self.message != _NOT_BUILT


def job_failure(name: str, error: Any, units: list[UnitFailure]) -> JobFailure:
    """Make a value of Exax's error: its `status` has a text for every part of the job that failed."""
    text = "\n".join(str(part).strip() for part in error.status.values())
    own = _OWN.findall(text)
    # Errors of the project's own say it all, perhaps in several lines; of others the last line says most.
    message = own[-1] if own else text.rpartition("\n")[2]
    return JobFailure(name, str(error.job), message.strip(), text, units)


def _file(root: Path, study: str) -> Path:
    return root / ".cortax" / "failures" / f"{study}.json"


def note_failures(
    root: Path,
    study: str,
    failures: list[JobFailure],
    skipped: dict[str, list[str]],
    *,
    narrowed_to: Collection[str] | None = None,
) -> None:
    """Keep what failed in a build, and what could not be asked for therefore; forget what earlier ones noted.

    Of a build that was narrowed to jobs of these names, what was noted of others is kept.
    """
    path = _file(root, study)
    if narrowed_to is not None:
        before, skipped_before = failures_of(root, study)
        failures = [failure for failure in before if failure.name not in narrowed_to] + failures
        skipped = {name: needs for name, needs in skipped_before.items() if name not in narrowed_to} | skipped
    if not failures:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"failed": [asdict(failure) for failure in failures], "skipped": skipped}
    write_whole(path, json.dumps(content, indent=1))


def failures_of(root: Path, study: str) -> tuple[list[JobFailure], dict[str, list[str]]]:
    """Return what failed in the last build of a study, and the names of jobs that needed it.

    Raises
    ------
    ProjectError
        The note is damaged.
    """
    path = _file(root, study)
    if not path.exists():
        return [], {}
    try:
        content = json.loads(path.read_text())
        return [_read(failure) for failure in content["failed"]], content["skipped"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProjectError(f"{path}: damaged ({error}); build again") from error


def _read(failure: dict[str, Any]) -> JobFailure:
    units = [UnitFailure(**{**unit, "keys": tuple(unit["keys"])}) for unit in failure["units"]]
    return JobFailure(**{**failure, "units": units})
