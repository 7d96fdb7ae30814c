"""What `cortax scaling` prints: how mean ranks follow sizes, in a table or in a study that has been built."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.errors import InputError
from cortax.learning.scaling import fit_power_law, read_rank_table
from cortax.project import find_root
from cortax.terminal import print_table
from cortax.workloads.regions.tables import scaling_report

__all__ = ["print_scaling"]

_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def print_scaling(what: str, *, as_json: bool = False) -> None:
    """Print the power law of a table of ranks, or those of a study by name or file."""
    is_study = what.endswith(".toml") or not (what.lower().endswith(_TABLES) or Path(what).is_file())
    if is_study:
        report = scaling_report(find_root(), Path(what).name.removesuffix(".toml"))
    else:
        law = _of_table(Path(what))
    if as_json:
        print(json.dumps(report if is_study else _without_nan(law), indent=1))
    elif is_study:
        _print_report(report)
    else:
        _print_law(law)


def _print_report(report: dict[str, Any]) -> None:
    """The law of the first ranking, which is across pipelines if there are several; and a line for each fit."""
    first = report["fits"][0]
    print(f"{first['group']}, ranks {first['ranks']} {first['pipeline']}, {first['n_targets']} targets")
    if first["law"] is not None:
        _print_law({**first["law"], "warnings": []})
    print_table(_fits_table(report))
    for text in report["warnings"]:
        print(f"warning: {text}", file=sys.stderr)


def _of_table(path: Path) -> dict[str, Any]:
    table = read_rank_table(path)
    try:
        law = fit_power_law(table["size"], table["mean_rank"], list(table["type"])).to_dict()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if twice := sorted(set(table["parcellation"][table["parcellation"].duplicated()])):
        law["warnings"].append(f"parcellations that occur more than once count as often: {twice[:5]}")
    return law


def _print_law(law: dict[str, Any]) -> None:
    print(f"region {law['region'][0]} to {law['region'][1]}")
    print(f"n {law['n']}")
    for name, error in law["standard_error"].items():
        print(f"{name} {_figure(law[name])} (se {_figure(error)})")
    print(f"r2 {_figure(law['r2'])}")
    if any(name.startswith("type[") for name in law["standard_error"]):
        print(f"effects of types are differences from {law['reference']!r}", file=sys.stderr)
    for text in law["warnings"]:
        print(f"warning: {text}", file=sys.stderr)


def _figure(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6f}"


def _without_nan(found: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(found, dict):
        return {key: _without_nan(value) for key, value in found.items()}
    return None if isinstance(found, float) and found != found else found


def _fits_table(report: dict[str, Any]) -> pd.DataFrame:
    """A row for each ranking and type."""
    rows = []
    for fit in report["fits"]:
        law = fit["law"]
        row = {"group": fit["group"], "ranks": fit["ranks"], "pipeline": fit["pipeline"], "type": fit["type"]}
        if law is None:
            rows.append({**row, "n": "", "region": "", "slope": "", "se": "", "interval": "", "r2": ""})
            continue
        low, high = fit["interval"]["slope"]
        numbers = {"slope": _figure(law["slope"]), "se": _figure(law["standard_error"]["slope"])}
        interval = "" if low is None else f"{low:.3f} to {high:.3f}"
        ends = f"{law['region'][0]} to {law['region'][1]}"
        rows.append({**row, "n": law["n"], "region": ends, **numbers, "interval": interval, "r2": _figure(law["r2"])})
    return pd.DataFrame(rows)
