"""A process that was not given the back-end's secrets, such as one of another user, cannot have code run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import doing, kill, run

_DASK = """
import os, sys
from distributed import Client
from distributed.security import Security
for scheme, security in [("tcp", None), ("tls", Security.temporary())]:
    try:
        client = Client(f"{scheme}://{sys.argv[1]}", timeout=3, security=security)
        print("RAN CODE", client.submit(os.getpid).result(timeout=10), flush=True)
    except Exception as error:
        print("refused", scheme, type(error).__name__, flush=True)
"""
_RAY = """
import os, sys, ray
from ray._private import services
# Ray would look for it at the machine's public address, if it has one, and find nobody there.
services.resolve_ip_for_localhost = lambda host: host
try:
    ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False, _node_ip_address="127.0.0.1")
    print("RAN CODE", ray.get(ray.remote(os.getpid).remote(), timeout=10), flush=True)
except BaseException as error:
    print("refused", type(error).__name__, flush=True)
"""


def _listening() -> list[tuple[str, str, int]]:
    """Return name of the process, address and port of everything that this process's descendants listen to."""
    found = []
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            connections = process.net_connections("tcp")
            found += [(process.name(), c.laddr.ip, c.laddr.port) for c in connections if c.status == "LISTEN"]
        except psutil.Error:
            continue
    return found


def _intrude(script: str, *addresses: str, seconds: float = 40) -> str:
    """Return what a script says that tries each address, all at once; some go on trying until they are ended."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "DASK_"))}
    env |= {"HOME": "/nonexistent", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, address],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for address in addresses
    ]
    said = ""
    deadline = time.monotonic() + seconds
    for each in started:
        try:
            said += each.communicate(timeout=max(0.1, deadline - time.monotonic()))[0]
        except subprocess.TimeoutExpired:
            each.kill()
            said += each.communicate()[0]
    return said


@pytest.mark.parametrize("backend", ["dask", "slurm"], indirect=True)
def test_a_stranger_cannot_use_a_scheduler_of_dask(backend: str, place: Path) -> None:
    seen = []

    def deed(worker: int, _: str) -> None:
        try:
            addresses = sorted({f"{ip}:{port}" for _, ip, port in _listening()})
            keys = [path for path in (place / "scratch").rglob("*") if "key" in path.name]
            seen.extend([addresses, _intrude(_DASK, *addresses), [path.stat().st_mode & 0o077 for path in keys]])
        finally:
            kill(worker)

    with doing(place / "note", deed):
        report, _ = run(backend, place, [("once", str(place / "note")), ("sum", 0.0)], n_workers=1)
    assert not report.failed
    addresses, said, modes = seen
    assert addresses
    assert all(address.startswith("127.0.0.1:") for address in addresses)
    assert "RAN CODE" not in said
    assert "refused tcp" in said
    assert "refused tls" in said
    assert not any(modes)
    assert backend == "dask" or modes


@pytest.mark.parametrize("backend", ["ray"], indirect=True)
def test_a_stranger_cannot_use_a_ray(backend: str, place: Path) -> None:
    seen = []

    def deed(worker: int, _: str) -> None:
        try:
            addresses = [f"127.0.0.1:{port}" for name, _, port in _listening() if name.startswith("gcs")]
            seen.extend([addresses, _intrude(_RAY, *addresses, seconds=60)])
        finally:
            kill(worker)

    with doing(place / "note", deed):
        report, _ = run(backend, place, [("once", str(place / "note")), ("sum", 0.0)], n_workers=1)
    assert not report.failed
    addresses, said = seen
    assert addresses
    assert "RAN CODE" not in said
    assert "InvalidAuthToken" in said
