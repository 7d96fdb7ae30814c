"""Ctrl-C at any moment of a build: its script is waited for, which stops the job and says so."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from cortax.workflow.guarding.guard import _watch
from cortax.workflow.guarding.processes import Process


class Looking:
    """Interrupted while it looks whether the server waits in vain, and not while the script is waited for."""

    def lasts(self):
        raise KeyboardInterrupt


def test_an_interrupt_while_processes_are_looked_at_is_one_of_the_build():
    here = Process(psutil.Process(), 0, 0, "", Path())
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2.5)"]) as script:
        assert _watch(script, [here], Looking()) == 128 + signal.SIGINT
        assert script.poll() == 0, "it was not waited for"
