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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.project import method_file, method_modules
from cortax.provenance import outputs
from cortax.provenance.closure import changes, manifest_path
from cortax.provenance.reads import changed_reads
from cortax.store import replacing
from cortax.workflow.build.differences import option_differences
from cortax.workflow.plan.identity import Identity, identity_of
from cortax.workflow.plan.jobspec import JobSpec

__all__ = ["FinishedJob", "History"]

_JOB_ID = re.compile(r"-\d+$")


@dataclass(frozen=True)
class FinishedJob:
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
        """What the job was run with; a ProjectError says how to mend a job of which that is lost."""
        path = self.folder / "setup.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ProjectError(f"{path}: not readable ({error}); `cortax doctor` mends it, then build again") from error
        return content

    @functools.cached_property
    def identity(self) -> Identity:
        """Which job of which study it is."""
        return identity_of(self.folder)

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
        self._modules = method_modules(root)
        self._manifests = manifests or self._loaded
        self._by_digest: dict[str, list[FinishedJob]] = {}
        self._by_method: dict[str, list[FinishedJob]] = {}
        self._by_name: dict[tuple[str, str], list[FinishedJob]] = {}
        self._by_key: dict[str, dict[str, list[FinishedJob]]] = {}
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
    def _read(job: str, folder: Path) -> FinishedJob | None:
        try:
            return FinishedJob(job, folder, outputs.read(folder))
        except ProjectError:
            return None  # a build script's own job, or one whose record is lost

    def _add(self, past: FinishedJob) -> None:
        same = self._by_digest.setdefault(past.made.digest, [])
        if all(other.id != past.id for other in same):
            same.append(past)
            if self.changed_reads(past):
                # Its results are what they are; but whoever asks for it now would get others.
                self._by_name.setdefault((past.made.method, past.made.name), []).append(past)
                return
            self._by_method.setdefault(past.made.method, []).append(past)
            self._by_name.setdefault((past.made.method, past.made.name), []).append(past)
            if past.made.method in self._by_key:
                self._by_key[past.made.method].setdefault(_key(past.setup), []).append(past)

    def changed_reads(self, past: FinishedJob) -> list[str]:
        """Return the files that the study's own code read for a job and that are others now."""
        return changed_reads(past.made.reads, self._root)

    def standing_for(self, job: str, folder: Path) -> FinishedJob:
        """Return the oldest intact job with the same results, often the job itself.

        What depends on a job is keyed by the job's id. Handing down the oldest id instead of the newest
        spares everything below a job that was rebuilt without a change of its results. Older jobs that
        lost a file get it back from this one, whose bytes are those that were recorded.
        """
        past = FinishedJob(job, folder, outputs.read(folder))
        self._add(past)
        same = self._by_digest[past.made.digest]
        for other in same:
            if other.id != job and _harmed(other) and _repair(other, past):
                print(f"       {other.id} was damaged: its results were restored from {job}")
        return self.oldest(past)

    def oldest(self, past: FinishedJob) -> FinishedJob:
        """Return the oldest intact job with the same results as one, often that one itself.

        Never one that another version of cortax made: what it says of itself may mean something else.
        """
        same = self._by_digest[past.made.digest]
        return next(other for other in same if other.id == past.id or (other.identity.is_known and not _harmed(other)))

    @staticmethod
    def damage(past: FinishedJob) -> list[str]:
        """Say what is wrong with a job's files, as a build looks at them."""
        return outputs.damage(past.folder)

    def newest(self, method: str, name: str) -> FinishedJob | None:
        """Return the newest finished job of a name, if there is one."""
        return next(reversed(self._by_name.get((method, name), [])), None)

    def reusable(self, method: str, study: str, key: Mapping[str, str]) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Return key and options of a study's finished jobs of present code whose key holds this one; newest first."""
        code = self.code_key(method)
        return [
            (dict(past.identity.key), past.setup["options"])
            for past in reversed(self._by_method.get(method, []))
            if past.identity.study == study and key.items() <= past.identity.key.items() and past.setup["hash"] == code
        ]

    def finished(self, spec: JobSpec) -> bool:
        """Say whether a job of this method, these options and present code is there, whatever its inputs."""
        return bool(self._alike(spec))

    def found(self, spec: JobSpec, jobs: dict[str, Any]) -> FinishedJob | None:
        """Return the newest job that is reused for this key, if there is one."""
        alike = [past for past in self._alike(spec) if _given(past.setup["jobs"]) == _given(jobs)]
        return alike[-1] if alike else None

    def _alike(self, spec: JobSpec) -> list[FinishedJob]:
        if spec.method not in self._by_key:
            known: dict[str, list[FinishedJob]] = {}
            for past in self._by_method.get(spec.method, []):
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

    def _differences(self, past: FinishedJob, spec: JobSpec, jobs: dict[str, Any] | None) -> list[str]:
        setup = past.setup
        said = option_differences("", setup["options"], spec.options)
        if setup["hash"] != self.code_key(spec.method):
            module = self._modules[spec.method]
            said += changes(past.manifest(), self._manifests(module)) or [f"{module.replace('.', '/')}.py changed"]
        said += [f"{path}, which own code reads, changed" for path in self.changed_reads(past)]
        slots = [slot for slot in spec.jobs if jobs and setup["jobs"].get(slot) != jobs[slot]]
        return [*said, f"inputs changed: {', '.join(slots)}"] if slots else said

    @functools.cache  # noqa: B019 - a history lives as long as its build
    def code_key(self, method: str) -> str:
        """Return Exax's key of a method's code, as it is on disk."""
        module = self._modules[method]
        key = 0
        for content in (method_file(module, self._root).read_bytes(), self._manifests(module).encode()):
            key ^= int(hashlib.sha1(content, usedforsecurity=False).hexdigest(), 16)  # as Exax does
        return f"{key:040x}"


def _key(setup: dict[str, Any]) -> str:
    # 1 and 1.0 are two keys, as for Exax: all columns and one column are told apart by them.
    return json.dumps([setup["hash"], setup["options"]], sort_keys=True)


def _harmed(past: FinishedJob) -> list[str]:
    # What depends on a job reads its results; a lost table of timings is no reason to run everything below.
    return outputs.damage(past.folder, results_only=True)


def _repair(damaged: FinishedJob, good: FinishedJob) -> bool:
    """Give a damaged job back its results from one that has the same; say whether it is intact now."""
    for name, recorded in damaged.made.files.items():
        target, source = damaged.folder / name, good.folder / name
        if recorded["result"] and good.made.files[name]["sha256"] == recorded["sha256"]:
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
                os.utime(temporary, ns=(int(recorded["mtime_ns"]), int(recorded["mtime_ns"])))
    return not outputs.damage(damaged.folder, deep_below=math.inf, results_only=True)


def _given(jobs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the inputs that a job does without: Exax notes them as None or empty, a plan not at all."""
    return {slot: found for slot, found in jobs.items() if found}
