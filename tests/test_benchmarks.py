"""Benchmarks are run by hand: what they need of the library, and the files that they name, must still be there."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_what_a_benchmark_needs_is_there(script):
    text = script.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cortax"):
            module = importlib.import_module(node.module)
            for name in (each.name for each in node.names):
                assert hasattr(module, name) or importlib.import_module(f"{node.module}.{name}"), name
    for path in re.findall(r"cortax/[\w/]+\.py", text):
        assert (ROOT / path).exists(), path


def test_what_is_said_of_benchmarks_is_there():
    for path in re.findall(r"`((?:cortax/|bench_|fit_)[\w/]+\.py)`", (ROOT / "benchmarks/README.md").read_text()):
        assert (ROOT / path).exists() or (ROOT / "benchmarks" / path).exists(), path
