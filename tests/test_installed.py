"""Installed packages count by what is installed, whatever version they say they are."""

from __future__ import annotations

import importlib
import json
import os
import sys

import pytest

from cortax.provenance.closure import installed, packages


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages with one of 3 files, and a project that remembers."""
    folder = tmp_path / "site"
    for name, text in {
        "labpack/__init__.py": "K = 1\n",
        "labpack/data.csv": "1\n",
        "labpack/tests/test_it.py": "",
        "labpack-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: labpack\nVersion: 1.0\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    record = ["labpack/__init__.py,sha256=x,6", "labpack/data.csv,,", "labpack/tests/test_it.py,,", "../bin/lab,,"]
    (folder / "labpack-1.0.dist-info/RECORD").write_text("\n".join([*record, "labpack/__pycache__/a.pyc,,"]))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(installed, "home", lambda: tmp_path / "home")
    return folder


def version():
    for cache in (installed.installed_digest, installed._known, packages._version, packages._versions):
        cache.cache_clear()
    importlib.invalidate_caches()
    return packages.versions(["labpack"])["labpack"]


def test_a_patched_file_of_the_same_version_is_another_package(site):
    first = version()
    assert first.startswith("1.0 ")
    assert version() == first
    (site / "labpack/__init__.py").write_text("K = 2\n")
    assert version() != first
    (site / "labpack/__init__.py").write_text("K = 1\n")
    assert version() == first, "the same bytes at another time are the same package"
    (site / "labpack/data.csv").unlink()
    assert version() != first


def test_size_and_time_may_be_those_of_before(site):
    first = version()
    path = site / "labpack/__init__.py"
    before = path.stat()
    path.write_text("K = 9\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert version() != first


def test_tests_bytecode_and_what_pip_notes_do_not_count(site):
    first = version()
    (site / "labpack/tests/test_it.py").write_text("changed")
    (site / "labpack-1.0.dist-info/INSTALLER").write_text("pip")
    (site / "labpack/__pycache__").mkdir()
    (site / "labpack/__pycache__/a.pyc").write_text("x")
    assert version() == first


def test_files_are_read_once(site, monkeypatch):
    first = version()
    monkeypatch.setattr(installed, "file_digest", lambda path: pytest.fail(f"{path} was read again"))
    assert version() == first


@pytest.mark.parametrize("harm", ["", "[]", "null", '{"labpack": 3}', "{"])
def test_a_damaged_memory_is_made_anew(site, tmp_path, harm):
    first = version()
    (tmp_path / "home/packages.json").write_text(harm)
    assert version() == first


def test_an_editable_install_counts_by_its_folder(site, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "labpack.py").write_text("K = 1\n")
    told = {"url": source.as_uri(), "dir_info": {"editable": True}}
    (site / "labpack-1.0.dist-info/direct_url.json").write_text(json.dumps(told))
    first = version()
    (source / "labpack.py").write_text("K = 2\n")
    assert version() != first


def test_a_package_without_a_list_of_files_counts_by_its_version(site):
    (site / "labpack-1.0.dist-info/RECORD").unlink()
    assert version() == "1.0"


def test_what_cortax_computes_with_counts_by_its_files():
    found = packages.versions({"numpy", "sklearn"})
    assert all(len(found[name].split(" ")) == 2 for name in ("numpy", "scipy", "scikit-learn")), found
    assert "numpy" in sys.modules
