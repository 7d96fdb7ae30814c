"""What follows from the figures: how builds should work on this machine, unless noise explains the difference."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from cortax.errors import ProjectError
from cortax.grid.work.settings import BACKENDS, Settings
from cortax.parallel.setting import Setting

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Advice", "advise", "write_settings"]

# A gain below this is not worth a change, however sure it is.
LEAST = 0.05
CASE = ["pipeline", "size"]


@dataclass(frozen=True)
class Advice:
    """How builds should work.

    Attributes
    ----------
    setting : Setting
        The recommended one; the current one where none is better beyond noise.
    current : Setting
    gain : float
        How many times as fast the recommended one is.
    noise : float
        By what share noise may have changed that ratio, or any where none is better; NaN of one round.
    n_cases, n_rounds : int
        What that rests on.
    doubt : str
        Why the figures are no reason to change anything.
    """

    setting: Setting
    current: Setting
    gain: float
    noise: float
    n_cases: int
    n_rounds: int
    doubt: str = ""

    @property
    def words(self) -> str:
        """What `cortax.toml` is to say."""
        return _words(self.setting)

    def __str__(self) -> str:
        basis = f"{self.n_cases} cases, {self.n_rounds} rounds"
        if self.setting == self.current:
            unknown = "nothing known of noise from one round" if np.isnan(self.noise) else ""
            why = self.doubt or unknown or "none is faster beyond noise"
            return f"keep {_words(self.current)}: {why} ({basis})"
        return (
            f"use {_words(self.setting)}: {self.gain:.2f} times as fast as {_words(self.current)}, "
            f"noise {self.noise:.0%} ({basis})"
        )


def _words(setting: Setting) -> str:
    return f'backend = "{setting.backend}", workers = {setting.processes}'


def advise(runs: pd.DataFrame, current: Setting, n_units: int, *, doubt: str = "") -> Advice:
    """Recommend a back-end and a number of workers; workers of builds always have one BLAS thread.

    Settings are compared with the current one by the mean log ratio over cases and rounds. How much one case differs
    from round to round says what noise does to that mean. A setting is better if its mean is above noise, in Student's
    distribution at 5 % for all settings together (Bonferroni), above 5 %, and above 1 in every round. Of settings that
    are as good as the best but for noise it is the one of slices, and with the fewest workers.

    Parameters
    ----------
    runs : DataFrame
        See `run_plan`.
    current : Setting
        How a build works now, which must be among the runs.
    n_units : int
        Of the fixed amount of work, by which settings are compared.
    doubt : str
        Why the figures are no reason to change anything, if they are not.

    Raises
    ------
    ProjectError
        The current setting was not measured.
    """
    logs = _log_ratios(runs, current, n_units)
    n_cases, n_rounds = len(logs.groupby(CASE)), len(logs.groupby("round"))
    gains, noise = logs.mean(), _margins(logs, n_cases)
    better = gains[(gains > noise) & (gains > np.log(1 + LEAST)) & (logs.groupby("round").mean().min() > 0)]
    if doubt or better.empty:
        return Advice(current, current, 1.0, float(np.expm1(noise.max())), n_cases, n_rounds, doubt)
    best = better.idxmax()
    as_good = [key for key in better.index if gains[key] >= gains[best] - noise[best]]
    chosen = min(as_good, key=lambda key: (key[0] != "slices", key[1]))
    gain, margin = float(np.exp(gains[chosen])), float(np.expm1(noise[chosen]))
    return Advice(Setting(chosen[0], int(chosen[1])), current, gain, margin, n_cases, n_rounds)


def _log_ratios(runs: pd.DataFrame, current: Setting, n_units: int) -> pd.DataFrame:
    """Return a row a case and round, and a column a setting: how many times as fast as the current one, as a logarithm.

    Only settings that have all cases, and were not ended: those have no second round.
    """
    usable = runs[(runs["blas_threads"] == 1) & (runs["jobs"] == 1) & (runs["n_units"] == n_units)]
    usable = usable[usable["backend"].isin(BACKENDS)]
    wide = usable.pivot_table(index=[*CASE, "round"], columns=["backend", "processes"], values="elapsed")
    mine = current.backend, current.processes
    if mine not in wide:
        raise ProjectError(f"{current}: not measured, so that nothing can be compared with it")
    wide = wide.dropna(subset=[mine]).apply(np.log)
    return -wide.sub(wide[mine], axis="index").dropna(axis="columns")


def _margins(logs: pd.DataFrame, n_cases: int) -> pd.Series:
    """Return what noise may make of each column's mean; NaN where nothing was measured twice."""
    freedom = len(logs) - n_cases
    if not freedom:
        return pd.Series(np.nan, index=logs.columns)
    residuals = logs - logs.groupby(CASE).transform("mean")
    spread = np.sqrt((residuals**2).sum() / freedom)
    n_others = max(1, logs.shape[1] - 1)
    margins: pd.Series = spread / np.sqrt(len(logs)) * student.ppf(1 - 0.05 / n_others, freedom)
    return margins


def write_settings(root: Path, advice: Advice) -> Path:
    """Write the recommended back-end and number of workers to `cortax.toml`; its other lines stay as they are.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ProjectError
        The file is not valid, or cannot be changed.
    """
    path = root / "cortax.toml"
    changes: dict[str, str | int] = {"backend": advice.setting.backend, "workers": advice.setting.processes}
    Settings.model_validate(changes)
    try:
        before = path.read_text() if path.exists() else ""
        text = _changed(before, changes)
        if tomllib.loads(text) != {**tomllib.loads(before), **changes}:
            raise ProjectError(f"{path}: cannot be changed line by line; write {changes} into it")
        temporary = path.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProjectError(f"{path}: cannot be changed ({error})") from error
    return path


def _changed(text: str, changes: Mapping[str, str | int]) -> str:
    for key, value in changes.items():
        said = f'"{value}"' if isinstance(value, str) else str(value)
        line = re.compile(rf"""^(\s*{key}\s*=\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s#]+)""", re.M)
        text, found = line.subn(rf"\g<1>{said}", text, count=1)
        if not found:
            # Before everything else: after a table's head it would belong to that.
            text = f"{key} = {said}\n{text}"
    return text
