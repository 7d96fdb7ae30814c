"""Forked processes share the cells of a job: each is drawn exactly once, and a slow one idles no other."""

import multiprocessing
import time

import pytest

from cortax.grid.pool import SharedQueue


def _draw(queue, pipe, seconds):
    drawn = []
    for number in queue:
        drawn.append(number)
        time.sleep(seconds)
    pipe.send(drawn)


def drawn_by(n, waits):
    """Fork one process for each wait; return what each drew."""
    fork = multiprocessing.get_context("fork")
    queue = SharedQueue(n)
    pipes = [fork.Pipe(duplex=False) for _ in waits]
    processes = [
        fork.Process(target=_draw, args=(queue, send, wait)) for (_, send), wait in zip(pipes, waits, strict=True)
    ]
    for process in processes:
        process.start()
    found = [receive.recv() for receive, _ in pipes]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(waits)
    return found


@pytest.mark.parametrize("n", [0, 1, 3, 2000])
@pytest.mark.parametrize("n_processes", [1, 4])
def test_each_number_is_drawn_once(n, n_processes):
    found = drawn_by(n, [0] * n_processes)
    assert sorted(number for part in found for number in part) == list(range(n))
    assert all(part == sorted(part) for part in found)


def test_a_slow_process_takes_less():
    slow, fast = drawn_by(40, [0.1, 0.001])
    assert len(slow) < len(fast)


def test_an_empty_queue_stays_empty():
    queue = SharedQueue(3)
    assert list(queue) == [0, 1, 2]
    assert list(queue) == []
