"""The helper process of a worker, `python -m cortax.workflow.work.remote_main FOLDER TOKEN MEMORY PARENT N_THREADS`.

Last it is told how many threads of BLAS and OpenMP it may use. It reads numbers of units from its standard
input, and answers on its standard output with what became of each. It ends with its parent, and when nothing was asked
of it for a while.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import struct
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from cortax.errors import CortaxError
from cortax.workflow.work.payload import PayloadRef, open_task
from cortax.workflow.work.worker import Budget, check_threads, do_unit, pack, quiet_gc

__all__ = ["end_with", "main"]

IDLE_SECONDS = 60
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends; `parent` is the one that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)  # it ended before it could be watched


def _own_output() -> BinaryIO:
    """Return what was the standard output: whatever a library prints must not be taken for an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _tell(answers: BinaryIO, about: dict[str, Any], values: Sequence[bytes] = ()) -> None:
    message = pack(about, values)
    answers.write(struct.pack("<Q", len(message)) + message)
    answers.flush()


def _units() -> Iterator[int]:
    """Yield what is asked for, until nothing is any more."""
    pending = b""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while poll.poll(IDLE_SECONDS * 1000) and (got := os.read(0, 1 << 12)):
        pending += got
        while len(pending) >= 8:
            yield struct.unpack_from("<q", pending)[0]
            pending = pending[8:]


def main() -> None:
    """Serve one worker until it ends."""
    folder, token, memory, parent, n_threads = sys.argv[1:]
    end_with(int(parent))
    faulthandler.enable()
    answers = _own_output()
    try:
        task = open_task(PayloadRef(folder, token))
        threads = check_threads(int(n_threads))
    except CortaxError as error:
        _tell(answers, {"refused": type(error).__name__, "message": str(error)})
        return
    except Exception:
        _tell(answers, {"refused": "ProjectError", "message": f"work cannot begin: {traceback.format_exc()}"})
        return
    quiet_gc()
    budget = Budget(int(memory))
    _tell(answers, {"threads": threads})
    for unit in _units():
        _tell(answers, {"begins": unit})
        outcome = do_unit(task.do, unit, budget)
        about = {**vars(outcome), "leaving": outcome.what == "memory" or budget.spent}
        _tell(answers, about, about.pop("values"))
        if about["leaving"]:
            return


if __name__ == "__main__":
    main()
