"""How a build works: from a file, from the environment, and what of it is not allowed."""

import socket

import pytest

from cortax.errors import ProjectError
from cortax.workflow.work.settings import (
    Settings,
    machine_memory,
    parse_size,
    read_settings,
    save_settings,
    settle,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("4 GiB", 4 << 30),
        ("500mb", 500 * 10**6),
        ("1.5k", 1500),
        ("7", 7),
        (9, 9),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "GB", "4 XB", "-1", "1.2.3G", "four", "1e9", None, "4GBB", "iB", 0.5])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="must be a size above zero"):
        parse_size(text)


def test_nothing_said(tmp_path):
    settings = read_settings(tmp_path)
    assert settings == Settings()
    assert (settings.backend, settings.workers, settings.cell_seconds) == ("slices", None, None)
    assert settings.memory == machine_memory() * 4 // 5 > 2**28


def test_the_environment_overrules_the_file_and_jobs_read_what_the_build_wrote(tmp_path, monkeypatch):
    (tmp_path / "cortax.toml").write_text('workers = 3\nmemory = "2GB"\ncell_seconds = 1.5\n')
    saved = save_settings(tmp_path, {"CORTAX_WORKERS": "7", "CORTAX_MEMORY": ""})
    assert (saved.workers, saved.memory, saved.cell_seconds) == (7, 2 * 10**9, 1.5)
    monkeypatch.setenv("CORTAX_WORKERS", "11")  # of the server
    assert read_settings(tmp_path) == saved
    again = save_settings(tmp_path, {})
    assert again.workers == 3
    assert again.build != saved.build
    assert len(again.build) == 16


@pytest.mark.parametrize(
    ("toml", "environ", "message"),
    [
        ('wrokers = 3', {}, r"cortax.toml: wrokers: unknown key; got 'wrokers', .*did you mean 'workers'\?"),
        ('build = "x"', {}, "cortax.toml: build: unknown key"),
        ("workers = 0", {}, "cortax.toml: workers: Input should be greater than or equal to 1; got 0"),
        ("workers = ", {}, "cortax.toml: not valid TOML"),
        ('memory = "lots"', {}, "cortax.toml: memory: must be a size above zero such as .*; got 'lots'"),
        ("", {"CORTAX_MEMORY": "4XB"}, "CORTAX_MEMORY: must be a size above zero such as .*; got '4XB'"),
        ("", {"CORTAX_WORKERS": "two"}, "CORTAX_WORKERS: .*valid integer.*; got 'two'"),
        ("", {"CORTAX_CELL_SECONDS": "-1"}, "CORTAX_CELL_SECONDS: .*greater than 0; got '-1'"),
        ("", {"CORTAX_BACKEND": "slcies"}, r"CORTAX_BACKEND: got 'slcies', must be one of \[.*did you mean 'slices'\?"),
    ],
)  # fmt: skip
def test_what_is_not_allowed(tmp_path, toml, environ, message):
    (tmp_path / "cortax.toml").write_text(toml)
    with pytest.raises(ProjectError, match=message):
        save_settings(tmp_path, environ)
    assert not (tmp_path / ".cortax" / "settings.json").exists()


def test_files_that_cannot_be_read(tmp_path):
    save_settings(tmp_path, {})
    (tmp_path / ".cortax" / "settings.json").write_text('{"backend": "sl')
    with pytest.raises(ProjectError, match=r"settings.json: damaged .*; build again"):
        read_settings(tmp_path)
    (tmp_path / "cortax.toml").mkdir()
    with pytest.raises(ProjectError, match=r"cortax.toml: cannot be read"):
        save_settings(tmp_path, {})


def test_an_address_at_which_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setattr("cortax.workflow.work.settings.check_backend", lambda name: None)  # whatever is installed here
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        environ = {"CORTAX_BACKEND": "dask", "CORTAX_DASK_ADDRESS": address}
        with pytest.raises(ProjectError, match=f"backend 'dask': nothing listens at CORTAX_DASK_ADDRESS='{address}'"):
            save_settings(tmp_path, environ)
        free.listen()
        assert save_settings(tmp_path, environ).engine == {"CORTAX_DASK_ADDRESS": address}
    # Another back-end's is of no interest.
    assert save_settings(tmp_path, {**environ, "CORTAX_BACKEND": "ray"}).backend == "ray"
    assert read_settings(tmp_path).engine == {"CORTAX_DASK_ADDRESS": address}


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", 43200.0), ("1.5 m", 90.0), ("2d", 172800.0), (30, 30.0), ("never", None)]
)
def test_how_long_a_server_waits_for_work(tmp_path, text, seconds):
    said = f'"{text}"' if isinstance(text, str) else text
    (tmp_path / "cortax.toml").write_text(f"server_idle = {said}\n")
    assert save_settings(tmp_path, {}).server_idle == read_settings(tmp_path).server_idle == seconds


@pytest.mark.parametrize("text", ["soon", "0", "-1h", "2 weeks"])
def test_a_server_waits_for_some_time(tmp_path, text):
    with pytest.raises(ProjectError, match="CORTAX_SERVER_IDLE: must be a time above zero"):
        settle(tmp_path, {"CORTAX_SERVER_IDLE": text})
