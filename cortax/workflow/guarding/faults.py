"""Faults in the processes, sockets and jobs of a project that stop Exax or mislead it, and how each is mended."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.project import is_up, socket_folder
from cortax.store import write_whole
from cortax.workflow.guarding.processes import end, left_behind, lost_parts
from cortax.workflow.guarding.quarantine import Quarantine
from cortax.workflow.plan.identity import NAME as IDENTITY
from cortax.workflow.work.scratch import abandoned, backends_folder, clear_scratch

__all__ = ["Fault", "backend_faults", "job_faults", "process_faults", "server_faults", "socket_faults"]

_SOCKETS = ("server", "board", "urd")
_JOB = re.compile(r"main-(\d+)$")


@dataclass(frozen=True)
class Fault:
    """Something that stops Exax or misleads it.

    Attributes
    ----------
    subject : str
        What is at fault, such as "job main-7".
    problem : str
    remedy : str
        What is done about it, or what a person has to do.
    mend : callable, optional
        Applies the remedy; without it a person must.
    offline : bool
        Whether the server must be down for that.
    """

    subject: str
    problem: str
    remedy: str
    mend: Callable[[Quarantine], None] | None = None
    offline: bool = False


def process_faults(root: Path) -> Iterator[Fault]:
    """Find processes whose server is gone: they would go on writing, and hold memory and sockets."""
    if lost := left_behind(root):
        names = ", ".join(f"{process.pid} ({process.title.strip()[:40]})" for process in lost)
        yield Fault("processes", f"left behind by a server that is gone: {names}", "ended", lambda _: end(lost))


def server_faults(root: Path) -> Iterator[Fault]:
    """Find a server that answers, but can do no job any more."""
    if lost := " and ".join(lost_parts(root)):
        yield Fault("server", f"has lost {lost}", "ended", lambda _: None, offline=True)


def backend_faults(root: Path) -> Iterator[Fault]:
    """Find what back-ends left behind whose job was killed: folders, processes, semaphores, jobs of SLURM."""
    folder = backends_folder(root)
    if lost := abandoned(folder):
        names = ", ".join(path.name for path in lost)
        yield Fault(
            "back-ends", f"left behind by a job that was killed: {names}", "removed", lambda _: clear_scratch(folder)
        )


def socket_faults(root: Path) -> Iterator[Fault]:
    """Find other files in the place of sockets, sockets that nobody listens to, and a folder that others may enter."""
    folder = socket_folder(root)
    if not folder.is_dir():
        return
    mode = folder.stat().st_mode & 0o777
    strangers = sorted(name for name in os.listdir(folder) if name not in _SOCKETS)
    if mode & 0o077:
        problem = f"mode {mode:o}: others may enter, and run code as you"
        if strangers or folder.stat().st_uid != os.geteuid():
            remedy = f"set AX_SOCK to a folder for sockets only (this one is not yours, or holds {strangers[:3]})"
            yield Fault(f"socket folder {folder}", problem, remedy)
        else:
            yield Fault(f"socket folder {folder}", problem, "made private (700)", lambda _: folder.chmod(0o700))
    for path in (folder / name for name in _SOCKETS):
        if os.path.lexists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
            yield _moved(f"socket {path}", "something else has its name", path)
        elif os.path.lexists(path) and not is_up(root, path.name):
            yield Fault(f"socket {path}", "nobody listens to it", "removed", _remover(path))


def _remover(path: Path) -> Callable[[Quarantine], None]:
    return lambda _: path.unlink(missing_ok=True)


def _moved(subject: str, problem: str, path: Path) -> Fault:
    return Fault(subject, problem, "moved to quarantine", lambda quarantine: quarantine.move(path, problem))


def job_faults(jobs_folder: Path) -> Iterator[Fault]:
    """Find finished jobs whose files Exax cannot read: one of them keeps it from starting.

    A job without `post.json` has not finished; Exax ignores it, and does not use its number again.
    """
    numbered = [(int(numeral[1]), name) for name in os.listdir(jobs_folder) if (numeral := _JOB.match(name))]
    for _, name in sorted(numbered):
        folder = jobs_folder / name
        setup, setup_fault = _read(folder / "setup.json")
        post, post_fault = _read(folder / "post.json")
        if post_fault == "is missing":
            continue
        if "cannot be read" in setup_fault + post_fault:
            remedy = "make the folder and its files readable for you, as whoever owns it"
            yield Fault(f"job {name}", f"{folder}: {setup_fault or post_fault}", remedy)
        elif setup_fault or (setup_fault := _setup_fault(setup, name)):
            yield _without(folder, f"setup.json {setup_fault}")
        elif post_fault or (post_fault := _post_fault(post)):
            problem = f"post.json {post_fault}"
            yield _rebuilt(folder, problem, setup) if "endtime" in setup else _without(folder, problem)


def _read(path: Path) -> tuple[Any, str]:
    try:
        return json.loads(path.read_bytes()), ""
    except FileNotFoundError:
        return None, "is missing"
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except ValueError as error:
        return None, f"is damaged ({error})"


def _setup_fault(setup: Any, name: str) -> str:
    """Say what is wrong with the content of a `setup.json`: these are the keys that Exax looks for."""
    texts, objects = ("method", "hash", "jobid"), ("exectime", "options", "datasets", "jobs")
    kinds: dict[str, tuple[type, ...]] = {"starttime": (int, float)}
    kinds |= dict.fromkeys(texts, (str,)) | dict.fromkeys(objects, (dict,))
    if not isinstance(setup, dict):
        return "is damaged (not an object)"
    if setup.get("version") != 4:
        return f"is of version {setup.get('version')}, which is not what this Exax writes (4)"
    if wrong := [key for key, kind in kinds.items() if not isinstance(setup.get(key), kind)]:
        return f"is damaged (no good {', '.join(wrong)})"
    if setup["jobid"] != name:
        return f"is that of job {setup['jobid']}: the folder was copied or renamed"
    return "" if isinstance(setup["exectime"].get("total"), (int, float)) else "is damaged (no good exectime.total)"


def _post_fault(post: Any) -> str:
    if not isinstance(post, dict) or post.get("version") != 1 or not isinstance(post.get("files"), list):
        return "is damaged (no list of files)"
    return "" if isinstance(post.get("subjobs"), dict) else "is damaged (no good subjobs)"


def _without(folder: Path, problem: str) -> Fault:
    """Take away both files, so that Exax ignores the job. Its results stay where links point to."""

    def mend(quarantine: Quarantine) -> None:
        # A job without post.json counts as unfinished: in this order it is never taken for a good one.
        quarantine.move(folder / "post.json", problem)
        quarantine.move(folder / "setup.json", problem)

    remedy = "setup.json and post.json moved to quarantine, results left in place; the next build makes the job anew"
    return Fault(f"job {folder.name}", problem, remedy, mend, offline=True)


def _rebuilt(folder: Path, problem: str, setup: dict[str, Any]) -> Fault:
    """Write `post.json` anew: all that it says is in `setup.json` and the folder."""

    def mend(quarantine: Quarantine) -> None:
        own = {"setup.json", "post.json", "method.tar.gz", "link_result.pickle", IDENTITY}
        files = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name not in own and p.name[0] != ".")
        post = {key: setup[key] for key in ("starttime", "endtime", "exectime")}
        quarantine.move(folder / "post.json", problem)
        text = json.dumps({**post, "files": files, "subjobs": {}, "version": 1}, indent=4, sort_keys=True)
        write_whole(folder / "post.json", text, sync=True)

    remedy = "moved to quarantine and written anew from setup.json and the job's files"
    return Fault(f"job {folder.name}", problem, remedy, mend, offline=True)
