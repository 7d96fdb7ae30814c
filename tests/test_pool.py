"""Units of work in real forked processes: they raise, exit, crash, hang, are killed or want too much memory."""

import faulthandler
import gc
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cortax.errors import ProjectError, SearchError
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.forks import ForkedWorkers, parents
from cortax.workflow.work.pool import run_units
from cortax.workflow.work.units import Level, Unit, check_failures, levels, longest_first

MB = 10**6


def value(number):
    return b"%d squared is %d" % (number, number**2)


def units_of(n, size=1):
    return [Unit(tuple(f"t{number}/{k}" for k in range(size)), cost=float(number % 3)) for number in range(n)]


def children():
    """Processes that this one started and that live."""
    found = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [int(pid) for pid in found]


def run(path, units, work, *, n_workers=2, memory=400 * MB, seconds=None, build="", watched=(), **more):
    # Other tests of this process may have left one that stays, such as the resource tracker of multiprocessing.
    before = children()
    with Checkpoint(path, build=build) as checkpoint:
        report = run_units(
            units,
            checkpoint,
            lambda level: ForkedWorkers(work, level, seconds=seconds, watched=watched),
            n_workers=n_workers,
            memory=memory,
            **more,
        )
        assert children() == before
        return report, checkpoint.values(), checkpoint.failures()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "running" / "job.sqlite"


def expected(units, without=()):
    return {
        key: value(number) + b"/%d" % k
        for number, unit in enumerate(units)
        if number not in without
        for k, key in enumerate(unit.keys)
    }


def values(units, number):
    return [value(number) + b"/%d" % k for k in range(len(units[number].keys))]


@pytest.mark.parametrize(("n", "n_workers"), [(0, 2), (1, 4), (7, 1), (200, 5)])
def test_every_unit_is_done_once(path, tmp_path, n, n_workers):
    units, log = units_of(n, size=2), tmp_path / "log"

    def work(number):
        with open(log, "a") as file:
            file.write(f"{number}\n")
        return values(units, number)

    log.touch()
    told = []
    report, found, failures = run(
        path, units, work, n_workers=n_workers, progress=lambda done, of: told.append((done, of))
    )
    assert found == expected(units)
    assert sorted(map(int, log.read_text().split())) == list(range(n))
    assert failures == [] == report.failed
    assert report.done == ({n_workers: n} if n else {})
    assert told == [(done, n) for done in range(1, n + 1)]
    again, found, _ = run(path, units, work)
    assert found == expected(units)
    assert (again.n_resumed, again.done) == (n, {})
    assert report.n_keys == report.n_begun == again.n_begun == 2 * n
    assert len(log.read_text().split()) == n


def test_a_slow_unit_idles_nobody(path):
    units = [Unit((f"t{number}",)) for number in range(40)]

    def work(number):
        time.sleep(0.5 if number == 0 else 0.005)
        return [b"%d" % os.getpid()]

    _, found, _ = run(path, units, work)
    slow = found["t0"]
    # Whoever had the slow one did few others: those before it, at random.
    assert sum(pid == slow for pid in found.values()) < 30
    assert len(set(found.values())) == 2


def test_the_longest_come_first_and_equals_at_random():
    units = [Unit((f"t{number}",), cost=float(number // 10)) for number in range(40)]
    order = longest_first(units, range(40), "a")
    assert [units[number].cost for number in order] == sorted((unit.cost for unit in units), reverse=True)
    assert order == longest_first(units, reversed(range(40)), "a")
    assert order[:10] != sorted(order[:10])
    assert order != longest_first(units, range(40), "b")


def test_levels():
    assert levels(1, 100) == [Level(1, 100)]
    assert levels(4, 100) == [Level(4, 25), Level(2, 50), Level(1, 100)]
    assert [level.n_workers for level in levels(64, 2**40)] == [64, 32, 16, 8, 4, 2, 1]


def test_an_exception_is_recorded_and_not_tried_again(path):
    units = units_of(6)

    def work(number):
        if number == 2:
            raise SearchError("cannot be fitted")
        if number == 3:
            sys.exit(5)
        if number == 4:
            {}["missing"]
        return values(units, number)

    report, found, failures = run(path, units, work, build="one")
    assert found == expected(units, without={2, 3, 4})
    by_kind = {failure.kind: failure for failure in failures}
    assert set(by_kind) == {"SearchError", "SystemExit", "KeyError"}
    failure = by_kind["SearchError"]
    assert (failure.keys, failure.attempt, failure.final) == (("t2/0",), 1, True)
    assert failure.message == "cannot be fitted"
    assert 'raise SearchError("cannot be fitted")' in failure.traceback
    assert failure.needs == 0
    assert failure.allowed == 200 * MB
    assert sorted(report.failed, key=lambda f: f.keys) == sorted(failures, key=lambda f: f.keys)
    # The same build, gone on after an interruption: known, not tried. Another build: tried, and it is mended.
    report, found, _ = run(path, units, lambda number: values(units, number), build="one")
    assert found == expected(units, without={2, 3, 4})
    assert len(report.failed) == 3
    report, found, failures = run(path, units, lambda number: values(units, number), build="two")
    assert found == expected(units)
    assert (report.n_resumed, report.failed, failures) == (3, [], [])


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_who_exits_or_crashes_is_tried_with_more_memory_down_to_one_worker(path, n_workers):
    units = units_of(8)

    def work(number):
        if number == 3:
            os._exit(9)
        if number == 4:
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        return values(units, number)

    report, found, failures = run(path, units, work, n_workers=n_workers)
    assert found == expected(units, without={3, 4})
    steps = [level.n_workers for level in levels(n_workers, 1)]
    for keys, kind, said in [(("t3/0",), "exit", "exit status 9"), (("t4/0",), "SIGSEGV", "by SIGSEGV")]:
        of = [failure for failure in failures if failure.keys == keys]
        assert [failure.workers for failure in of] == steps
        assert [failure.attempt for failure in of] == list(range(1, len(steps) + 1))
        assert [failure.final for failure in of] == [*[False] * (len(steps) - 1), True]
        assert all(failure.kind == kind and said in failure.message for failure in of)
    assert len(report.failed) == 2


def test_a_worker_that_is_killed_costs_its_unit_nothing_but_time(path, tmp_path):
    units = units_of(12, size=3)

    def work(number):
        if number == 5 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return values(units, number)

    report, found, failures = run(path, units, work)
    assert found == expected(units)
    assert [(failure.kind, failure.final) for failure in failures] == [("SIGKILL", False)]
    assert report.failed == []
    assert report.done == {2: 11, 1: 1}
    assert report.n_begun == report.n_keys + 3


def test_every_worker_is_killed_again_and_again(path, tmp_path):
    units = units_of(20)

    def work(number):
        tries = tmp_path / str(number)
        n_tried = len(tries.read_bytes()) if tries.exists() else 0
        tries.write_bytes(b"." * (n_tried + 1))
        if n_tried < 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return values(units, number)

    report, found, failures = run(path, units, work, n_workers=4)
    assert found == expected(units)
    assert report.failed == []
    assert [sum(f.workers == n for f in failures) for n in (4, 2, 1)] == [20, 20, 40]


def test_a_unit_that_hangs_is_ended_and_tried_once_more_alone(path):
    units = units_of(6)

    def work(number):
        if number == 1:
            time.sleep(600)
        return values(units, number)

    # On a busy machine any unit may take some tenths of a second.
    report, found, failures = run(path, units, work, n_workers=4, seconds=3.0)
    assert found == expected(units, without={1})
    assert [(failure.kind, failure.workers, failure.final) for failure in failures] == [
        ("timeout", 4, False),
        ("timeout", 1, True),
    ]
    assert failures[0].message == "not done after 3 s"
    assert failures[0].seconds >= 3
    assert report.done == {4: 5}


@pytest.mark.parametrize("how", ["numpy", "bytes"])
def test_memory_is_escalated_and_what_wants_too_much_is_told(path, how):
    wants = {0: 20, 1: 170, 2: 300, 3: 600, 4: 20, 5: 160}
    units = units_of(len(wants))

    def work(number):
        held = np.ones(wants[number] * MB, np.uint8) if how == "numpy" else bytearray(b"1") * (wants[number] * MB)
        assert held[-1]
        return values(units, number)

    gc.collect()  # what other tests have left would be freed in the workers, which gives them more room
    report, found, failures = run(path, units, work, n_workers=4, memory=400 * MB)
    assert found == expected(units, without={3})
    # 100 MB for each of four, 200 MB for each of two, 400 MB for one.
    tried = {n: [f.workers for f in failures if f.keys == units[n].keys] for n in wants}
    assert tried == {0: [], 1: [4], 2: [4, 2], 3: [4, 2, 1], 4: [], 5: [4]}
    assert report.done == {4: 2, 2: 2, 1: 1}
    assert all(failure.kind.endswith("MemoryError") for failure in failures)
    last = failures[-1]
    assert (last.final, last.allowed, last.keys) == (True, 400 * MB, ("t3/0",))
    assert last.needs >= (600 * MB if how == "numpy" else 400 * MB)
    assert last.needs < 620 * MB
    assert 290 * MB < report.peak < 330 * MB
    with pytest.raises(SearchError, match=r"t3/0: .*needs at least .* MB, and had 400 MB.*\(tried 3 times\)"):
        check_failures(report.failed)


def test_a_memory_error_in_disguise_is_one(path):
    units = units_of(3)

    def work(number):
        if number == 0:
            try:
                raise MemoryError
            except MemoryError as error:
                raise SearchError("a fit failed") from error
        if number == 1:
            raise RuntimeError("std::bad_alloc")
        if number == 2:
            mmap.mmap(-1, 500 * MB, flags=mmap.MAP_PRIVATE)
        return values(units, number)

    _, found, failures = run(path, units, work, n_workers=2)
    assert found == {}
    for kind in ("SearchError", "RuntimeError", "OSError"):
        assert [failure.workers for failure in failures if failure.kind == kind] == [2, 1]


def test_what_was_asked_for_is_told_of_an_error_that_was_raised_again(path):
    """As a search does with what a fit raises."""

    def work(number):
        try:
            np.ones(600 * MB, np.uint8)
        except MemoryError as error:
            raise MemoryError(str(error)) from error

    _, _, failures = run(path, units_of(1), work, n_workers=1)
    assert [600 * MB <= failure.needs < 700 * MB for failure in failures] == [True]


def test_what_was_allocated_before_and_mapped_files_are_free(path, tmp_path):
    before = np.ones(200 * MB, np.uint8)
    file = tmp_path / "big"
    file.write_bytes(bytes(200 * MB))

    def work(number):
        with open(file, "rb") as handle, mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            np.ones(40 * MB, np.uint8)
            return [b"%d" % (before[-1] + mapped[-1])]

    report, found, _ = run(path, units_of(2), work, n_workers=1, memory=50 * MB)
    assert set(found.values()) == {b"1"}
    assert report.failed == []


def test_what_blas_itself_needs_is_free():
    code = """
import numpy as np, scipy.linalg
from cortax.workflow.work.worker import Budget
budget = Budget(40 * 10**6)  # enough for one of its two buffers
budget.begin()
square = np.eye(120)
square @ square, scipy.linalg.cholesky(square)
print(budget.held)
"""
    # A new process: forks of this one have the buffers that it has.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) < 10**7


def test_a_worker_that_does_not_give_back_makes_room_for_a_new_one(path):
    kept, units = [], units_of(10)

    def work(number):
        kept.append(np.ones(30 * MB, np.uint8))
        return values(units, number)

    _, found, failures = run(path, units, work, n_workers=1, memory=100 * MB)
    assert found == expected(units)
    assert failures == []


def test_workers_use_one_thread_and_say_so(path):
    units = units_of(1)
    report, _, _ = run(path, units, lambda number: values(units, number))
    assert any("openblas" in name for name in report.threads)
    assert set(report.threads.values()) == {1}


DRIVER = r"""
import os, sys, time
from pathlib import Path
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.forks import ForkedWorkers, parents
from cortax.workflow.work.pool import run_units
from cortax.workflow.work.units import Unit

units = [Unit((f"t{n}/0",)) for n in range(60)]

def work(number):
    os.write(1, b"%d\n" % os.getpid())
    time.sleep(0.02)
    return [b"%d squared is %d/0" % (number, number**2)]

with Checkpoint(Path(sys.argv[1])) as checkpoint:
    watched = parents(1) if len(sys.argv) > 2 else ()
    run_units(units, checkpoint, lambda level: ForkedWorkers(work, level, watched=watched), n_workers=2, memory=10**9)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not happen in time")


def test_the_driver_is_killed_its_workers_go_with_it_and_the_rest_is_done_later(path):
    units = units_of(60)
    with subprocess.Popen([sys.executable, "-c", DRIVER, path], stdout=subprocess.PIPE, text=True) as driver:
        pids = {int(driver.stdout.readline()) for _ in range(20)}
        driver.kill()
        driver.wait()
        wait_for(lambda: not any(alive(pid) for pid in pids))
    report, found, _ = run(path, units, lambda number: values(units, number))
    assert found == expected(units)
    assert 10 <= report.n_resumed < 60
    # Each of its two workers was at a unit.
    assert report.n_begun == 60 + 2


def test_who_works_for_a_process_that_is_gone_stops(path):
    """As a job does whose server was killed: nobody would ever hear of it."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, DRIVER, str(path), "watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        pids = {int(parent.stdout.readline()) for _ in range(10)}
        parent.kill()
        wait_for(lambda: not any(alive(pid) for pid in pids))
        assert "the process that this job works for has ended" in parent.stderr.read()
    report, _, _ = run(path, units_of(60), lambda number: [value(number) + b"/0"])
    assert 5 <= report.n_resumed < 60


def test_parents():
    assert parents(1) == [os.getppid()]
    assert parents(2)[0] == os.getppid()
    with pytest.raises(ProjectError, match="has ended"):
        ForkedWorkers(lambda number: [], Level(1, 1), watched=[2**22 - 1])


def test_an_interruption_ends_the_workers_and_keeps_what_is_done(path):
    units = units_of(30)

    def stop(done, n):
        if done == 7:
            raise KeyboardInterrupt

    def work(number):
        time.sleep(0.01)
        return values(units, number)

    before = children()
    with pytest.raises(KeyboardInterrupt):
        run(path, units, work, progress=stop)
    assert children() == before
    report, found, _ = run(path, units, work)
    assert found == expected(units)
    assert report.n_resumed == 7


def test_failures_of_one_kind_are_told_as_one(path):
    units = units_of(9, size=2)

    def work(number):
        raise ValueError(f"odd: {number % 2}")

    report, found, _ = run(path, units, work)
    assert found == {}
    with pytest.raises(SearchError) as caught:
        check_failures(report.failed)
    lines = str(caught.value).split("\n")
    assert lines[0] == "9 units failed; the others are kept:"
    assert lines[1] == "  t0/0; t0/1; t2/0; 7 more: ValueError: odd: 0"
    assert len(lines) == 3
    check_failures([])


def test_the_report_is_json(path):
    report, _, _ = run(path, units_of(2), lambda number: [b""])
    assert json.loads(json.dumps(vars(report)))["n_units"] == 2
