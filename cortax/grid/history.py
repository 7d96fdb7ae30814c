"""Earlier jobs of the workdir: the one that stands for the same results, and why a new one must run."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.grid.differences import option_differences
from cortax.grid.planning.jobspec import JobSpec
from cortax.provenance import outputs
from cortax.provenance.closure import changes, manifest_path

__all__ = ["History", "Past"]

_JOB_ID = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Past:
    """A finished job: its id, folder and record."""

    id: str
    folder: Path
    made: outputs.Outputs

    @property
    def number(self) -> int:
        """The job's number: later jobs have higher ones."""
        return int(self.id.rpartition("-")[2])

    @functools.cached_property
    def setup(self) -> dict[str, Any]:
        """What the job was run with."""
        content: dict[str, Any] = json.loads((self.folder / "setup.json").read_text())
        return content

    def manifest(self) -> str:
        """The manifest of the code that the job ran, out of the archive that Exax keeps in it."""
        return self.manifest_of(self.folder)

    @staticmethod
    def manifest_of(folder: Path) -> str:
        """The same of the job in a folder; nothing of a job whose method names none."""
        with tarfile.open(folder / "method.tar.gz") as archive:
            for member in archive.getmembers():
                if member.name.endswith(".txt"):
                    file = archive.extractfile(member)
                    return file.read().decode() if file else ""
        return ""

    @property
    def seconds(self) -> float:
        """How long the job took."""
        return float(self.setup["exectime"]["total"])


class History:
    """The finished jobs of a workdir, by content and by name.

    Parameters
    ----------
    jobs_folder : Path
        The workdir.
    root : Path
        The project.
    manifests : callable, optional
        Gives the manifest of a module's present code; by default what was written when it was last loaded.
    """

    def __init__(self, jobs_folder: Path, root: Path, manifests: Callable[[str], str] | None = None) -> None:
        self._root = root
        self._manifests = manifests or self._loaded
        self._by_digest: dict[str, list[Past]] = {}
        self._by_method: dict[str, list[Past]] = {}
        self._by_name: dict[tuple[str, str], list[Past]] = {}
        self._by_key: dict[str, dict[str, list[Past]]] = {}
        found = []
        for entry in os.scandir(jobs_folder):
            # Exax writes post.json last: a job without it has not ended well.
            done = _JOB_ID.search(entry.name) and os.path.exists(os.path.join(entry.path, "post.json"))
            if done and (past := self._read(entry.name, Path(entry.path))):
                found.append(past)
        for past in sorted(found, key=lambda past: past.number):
            self._add(past)

    def _loaded(self, module: str) -> str:
        path = manifest_path(module, self._root)
        return path.read_text() if path.exists() else ""

    @staticmethod
    def _read(job: str, folder: Path) -> Past | None:
        try:
            return Past(job, folder, outputs.read(folder))
        except ProjectError:
            return None  # a build script's own job, or one whose record is lost

    def _add(self, past: Past) -> None:
        same = self._by_digest.setdefault(past.made.digest, [])
        if all(other.id != past.id for other in same):
            same.append(past)
            self._by_method.setdefault(past.made.method, []).append(past)
            # Blocks and folds of one cell are found by the cell's name, see `reusable`.
            for name in {past.made.name, *_cells(past.made.name)}:
                self._by_name.setdefault((past.made.method, name), []).append(past)
            if past.made.method in self._by_key:
                self._by_key[past.made.method].setdefault(_key(past.setup), []).append(past)

    def standing_for(self, job: str, folder: Path) -> Past:
        """Return the oldest intact job with the same results, often the job itself.

        What depends on a job is keyed by the job's id. Handing down the oldest id instead of the newest
        spares everything below a job that was rebuilt without a change of its results. Older jobs that
        lost a file get it back from this one, whose bytes are those that were recorded.
        """
        past = Past(job, folder, outputs.read(folder))
        self._add(past)
        same = self._by_digest[past.made.digest]
        for other in same:
            if other.id != job and _harmed(other) and _repair(other, past):
                print(f"       {other.id} was damaged: its results were restored from {job}")
        return self.oldest(past)

    def oldest(self, past: Past) -> Past:
        """Return the oldest intact job with the same results as one, often that one itself."""
        same = self._by_digest[past.made.digest]
        return next(other for other in same if other.id == past.id or not _harmed(other))

    @staticmethod
    def damage(past: Past) -> list[str]:
        """Say what is wrong with a job's files, as a build looks at them."""
        return outputs.damage(past.folder)

    def newest(self, method: str, name: str) -> Past | None:
        """Return the newest finished job of a name, if there is one."""
        for past in reversed(self._by_name.get((method, name), [])):
            if past.made.name == name:
                return past
        return None

    def reusable(self, method: str, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return name and options of finished jobs of the present code, newest first.

        Those called `name`, or `name` with a block (`/...`) or a fold (`@...`) after it.
        """
        code = self.code_key(method)
        found = reversed(self._by_name.get((method, name), []))
        return [(past.made.name, past.setup["options"]) for past in found if past.setup["hash"] == code]

    def finished(self, spec: JobSpec) -> bool:
        """Say whether a job of this method, these options and present code is there, whatever its inputs."""
        return bool(self._alike(spec))

    def found(self, spec: JobSpec, jobs: dict[str, Any]) -> Past | None:
        """Return the newest job that is reused for this key, if there is one."""
        alike = [past for past in self._alike(spec) if _given(past.setup["jobs"]) == _given(jobs)]
        return alike[-1] if alike else None

    def _alike(self, spec: JobSpec) -> list[Past]:
        if spec.method not in self._by_key:
            known: dict[str, list[Past]] = {}
            for past in self._by_method.get(spec.method, []):
                with suppress(OSError, ValueError):  # what cannot be read is not reused
                    known.setdefault(_key(past.setup), []).append(past)
            self._by_key[spec.method] = known
        wanted = {"hash": self.code_key(spec.method), "options": spec.options}
        return self._by_key[spec.method].get(_key(wanted), [])

    def why(self, spec: JobSpec, name: str, jobs: dict[str, Any] | None = None) -> list[str]:
        """Say what makes a job run: what differs from the newest finished one of the same name.

        Parameters
        ----------
        spec : JobSpec
            The job.
        name : str
            What it is called in records: the study's name and its own.
        jobs : dict, optional
            The ids that its job inputs stand for; without them only options and code are compared.

        Returns
        -------
        list of str
            Nothing when a job, of whatever name, has the same key, so that it will be reused.
        """
        if self.finished(spec) if jobs is None else self.found(spec, jobs):
            return []
        newest = self.newest(spec.method, name)
        return self._differences(newest, spec, jobs) if newest is not None else ["new"]

    def _differences(self, past: Past, spec: JobSpec, jobs: dict[str, Any] | None) -> list[str]:
        setup = past.setup
        said = option_differences("", setup["options"], spec.options)
        if setup["hash"] != self.code_key(spec.method):
            current = self._manifests(f"methods.a_{spec.method}")
            said += changes(past.manifest(), current) or [f"methods/a_{spec.method}.py changed"]
        return said + [f"{slot} changed" for slot in spec.jobs if jobs and setup["jobs"].get(slot) != jobs[slot]]

    @functools.cache  # noqa: B019 - a history lives as long as its build
    def code_key(self, method: str) -> str:
        """Return Exax's key of a method's code, as it is on disk."""
        own = (self._root / "methods" / f"a_{method}.py").read_bytes()
        key = 0
        for content in (own, self._manifests(f"methods.a_{method}").encode()):
            key ^= int(hashlib.sha1(content).hexdigest(), 16)
        return f"{key:040x}"


def _cells(name: str) -> set[str]:
    """The name of a job without its block and fold: study/method/parcellation/pipeline, or study/method/forest."""
    parts = name.partition("@")[0].split("/")
    return {"/".join(parts[:4]), "/".join(parts[:3])}


def _key(setup: dict[str, Any]) -> str:
    return json.dumps([setup["hash"], _plain(setup["options"])], sort_keys=True)


def _plain(value: Any) -> Any:
    """Write equal numbers alike: Exax turns 1 into 1.0 where an option's default is one."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _harmed(past: Past) -> list[str]:
    # What depends on a job reads its results; a lost table of timings is no reason to run everything below.
    return outputs.damage(past.folder, results_only=True)


def _repair(damaged: Past, good: Past) -> bool:
    """Give a damaged job back its results from one that has the same; say whether it is intact now."""
    for name, recorded in damaged.made.files.items():
        target, source = damaged.folder / name, good.folder / name
        if recorded["result"] and good.made.files[name]["sha256"] == recorded["sha256"]:
            temporary = target.with_name(f".{target.name}")
            shutil.copyfile(source, temporary)
            os.utime(temporary, ns=(int(recorded["mtime_ns"]), int(recorded["mtime_ns"])))
            temporary.replace(target)
    return not outputs.damage(damaged.folder, deep_below=math.inf, results_only=True)


def _given(jobs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the inputs that a job does without: Exax notes them as None or empty, a plan not at all."""
    return {slot: found for slot, found in jobs.items() if found}
