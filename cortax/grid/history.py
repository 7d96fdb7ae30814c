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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.grid.plan import JobSpec
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
        with tarfile.open(self.folder / "method.tar.gz") as archive:
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
    """

    def __init__(self, jobs_folder: Path, root: Path) -> None:
        self._root = root
        self._by_digest: dict[str, list[Past]] = {}
        self._by_method: dict[str, list[Past]] = {}
        self._newest: dict[tuple[str, str], Past] = {}
        found = []
        for entry in os.scandir(jobs_folder):
            # Exax writes post.json last: a job without it has not ended well.
            done = _JOB_ID.search(entry.name) and os.path.exists(os.path.join(entry.path, "post.json"))
            if done and (past := self._read(entry.name, Path(entry.path))):
                found.append(past)
        for past in sorted(found, key=lambda past: past.number):
            self._add(past)

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
            self._newest[past.made.method, past.made.name] = past

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
        return next(other for other in same if other.id == job or not _harmed(other))

    def newest(self, method: str, name: str) -> Past | None:
        """Return the newest finished job of a name, if there is one."""
        return self._newest.get((method, name))

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
        newest = self.newest(spec.method, name)
        if newest is not None and self._same_key(newest, spec, jobs):
            return []
        if any(self._same_key(past, spec, jobs) for past in reversed(self._by_method.get(spec.method, []))):
            return []
        return self._differences(newest, spec, jobs) if newest is not None else ["new"]

    def _same_key(self, past: Past, spec: JobSpec, jobs: dict[str, Any] | None) -> bool:
        setup = past.setup
        if jobs is not None and setup["jobs"] != jobs:
            return False
        return bool(setup["hash"] == self.code_key(spec.method) and setup["options"] == spec.options)

    def _differences(self, past: Past, spec: JobSpec, jobs: dict[str, Any] | None) -> list[str]:
        setup = past.setup
        said = _option_differences("", setup["options"], spec.options)
        if setup["hash"] != self.code_key(spec.method):
            current = manifest_path(f"methods.a_{spec.method}", self._root).read_text()
            said += changes(past.manifest(), current) or [f"methods/a_{spec.method}.py changed"]
        return said + [f"{slot} changed" for slot in spec.jobs if jobs and setup["jobs"].get(slot) != jobs[slot]]

    @functools.cache  # noqa: B019 - a history lives as long as its build
    def code_key(self, method: str) -> str:
        """Return Exax's key of a method's code, as it is on disk."""
        files = (self._root / "methods" / f"a_{method}.py", manifest_path(f"methods.a_{method}", self._root))
        key = 0
        for file in files:
            key ^= int(hashlib.sha1(file.read_bytes()).hexdigest(), 16)
        return f"{key:040x}"


def _option_differences(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [said for key in keys for said in _option_differences(f"{where}.{key}", old.get(key), new.get(key))]
    if old == new:
        return []
    if isinstance(old, list) and isinstance(new, list):
        said = [f"+ {_short(item)}" for item in new if item not in old]
        said += [f"- {_short(item)}" for item in old if item not in new]
        return [f"option {where[1:]}: {', '.join(said) or 'another order'}"]
    return [f"option {where[1:]}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


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
