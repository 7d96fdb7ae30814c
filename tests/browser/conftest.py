"""Chromium, and pages to open in it: one of a study made by hand, one of a study that is built, and any others.

`CORTAX_REPORTS` names reports of other built studies (`results/demo/report.html`), `CORTAX_CHROMIUM` the browser.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

TESTS = Path(__file__).resolve().parents[1]
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
sys.path.insert(0, str(TESTS))


def load_e2e():
    """The module of the whole small projects; its name is that of this one."""
    spec = importlib.util.spec_from_file_location("e2e_conftest", TESTS / "e2e" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser():
    path = os.environ.get("CORTAX_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no Chromium: run scripts/browser, or set CORTAX_CHROMIUM"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def axe():
    assert AXE.exists(), f"no axe-core: run `npm ci` in {AXE.parents[2]}"
    return AXE.read_text()


@pytest.fixture(scope="session")
def hand_made(tmp_path_factory):
    """The address of a page of a study made by hand, with every section."""
    from made_study import MadeStudy, page_sections

    from cortax.report.page import render

    folder = tmp_path_factory.mktemp("made")
    material = MadeStudy(folder / "jobs").build()
    path = folder / "report.html"
    page = render(material.title, simulated=True, sections=page_sections(material), study="made")
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="session")
def built():
    """A project with a built study and its report, and the address of its board."""
    e2e = load_e2e()
    project = e2e.Project(Path(tempfile.mkdtemp(prefix="cx")))
    project.edit("studies/mini.toml", "enabled = false", "enabled = true")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    board = None
    try:
        project.cortax("up")
        project.run()
        command = [e2e.BIN / "ax", "board-server", f"localhost:{port}"]
        board = subprocess.Popen(command, cwd=project.root, env=project.env, stdout=subprocess.DEVNULL)
        project.board = f"http://localhost:{port}"
        wait_for(project.board)
        yield project
    finally:
        if board:
            board.terminate()
            board.wait(20)
        project.cortax("down", "--force", check=False)
        shutil.rmtree(project.root, ignore_errors=True)


def wait_for(address, seconds=60):
    """Wait until somebody answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nobody answers at {address}"
            time.sleep(0.2)


@pytest.fixture
def open_page(browser):
    """Open an address; afterwards, nothing may have been said on the console, and nothing loaded from elsewhere."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    wrong = []

    def opened(address):
        page = context.new_page()

        def note(text):
            if page.url == address:  # what is followed from there is the board's
                wrong.append(text)

        page.on("console", lambda message: note(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.on("requestfailed", lambda request: note(f"failed: {request.url}"))
        page.goto(address)
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield opened
    context.close()
    assert wrong == []


def other_reports():
    """Addresses of the reports that the environment names."""
    return [Path(path).resolve().as_uri() for path in os.environ.get("CORTAX_REPORTS", "").split(os.pathsep) if path]
