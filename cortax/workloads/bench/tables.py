"""What was measured, as tables, and what follows: how builds should work, unless noise explains the difference."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from cortax.errors import ProjectError, StudyError
from cortax.store import replacing
from cortax.study.reading import read_toml
from cortax.workflow.work.settings import BACKENDS
from cortax.workloads.bench.measure import Setting, medians

__all__ = [
    "SETTING",
    "Advice",
    "advise",
    "by_setting",
    "crossed",
    "deviation",
    "scaling",
    "summarise",
    "write_settings",
]

SETTING = ["backend", "processes", "blas_threads", "jobs"]
WORK = ["pipeline", "size", "n_units"]


def summarise(runs: pd.DataFrame, n_cores: int) -> pd.DataFrame:
    """Return medians over rounds of every setting and case, of what `run_plan` measured.

    `elapsed`, `startup`, `cold`, `warm`, `cpu` are seconds, `memory` bytes; see `medians` for `spread`. `speedup` is by
    how much the same work takes longer with one process, BLAS thread and job of slices, `efficiency` that by the
    threads there are, at most the cores. Where `over`, a load was ended at the limit: elapsed is less, and the speed-up
    more, than it would have been.
    """
    table = medians(runs, [*SETTING, *WORK], ["startup", "cpu", "cold", "warm", "memory"])
    table["over"] = runs.groupby([*SETTING, *WORK], sort=False)["over"].any()
    table = table.reset_index()
    alone = (table[SETTING] == ["slices", 1, 1, 1]).all(axis=1)
    base = table[alone].set_index(WORK)["elapsed"]
    table["speedup"] = base.reindex(pd.MultiIndex.from_frame(table[WORK])).to_numpy() / table["elapsed"]
    threads = table["processes"] * table["blas_threads"] * table["jobs"]
    table["efficiency"] = table["speedup"] / threads.clip(upper=n_cores)
    return table


def by_setting(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a setting that has all cases of a table of `summarise`, of one number of units.

    Seconds are added up over cases, memory is the largest, speed-up and efficiency are geometric means.
    """
    n_cases = table.groupby(SETTING, sort=False).size()
    whole = table.set_index(SETTING).loc[n_cases[n_cases == n_cases.max()].index].groupby(SETTING, sort=False)
    # What a load that was ended would have taken is not known.
    sums = whole[["elapsed", "startup", "cpu"]].agg(_sum)
    sums["memory"], sums["over"] = whole["memory"].max(), whole["over"].any()
    for ratio in ("speedup", "efficiency"):
        sums[ratio] = np.exp(whole[ratio].agg(lambda values: np.log(values).mean()))
    return sums.reset_index()


def _sum(seconds: pd.Series) -> float:
    return float(seconds.sum(skipna=False))


def crossed(table: pd.DataFrame, columns: str, pipelines: Sequence[str]) -> pd.DataFrame:
    """Return speed-ups of slices by number of processes, in rows, and of BLAS threads or jobs, in columns.

    Each is the geometric mean over the cases of some pipelines, as text, with "<" where a load was ended at the limit.
    Empty where nothing was crossed.
    """
    other = {"blas_threads": "jobs", "jobs": "blas_threads"}[columns]
    chosen = table[(table["backend"] == "slices") & (table[other] == 1) & table["pipeline"].isin(pipelines)]
    chosen = chosen.dropna(subset="speedup")
    if chosen[columns].nunique() < 2:
        return pd.DataFrame()
    rows = sorted(chosen.loc[chosen[columns] > 1, "processes"].unique())
    chosen = by_setting(chosen[chosen["processes"].isin(rows)])
    chosen["text"] = [
        "< " * over + f"{ratio:.2f}" for over, ratio in zip(chosen["over"], chosen["speedup"], strict=True)
    ]
    return chosen.pivot(index="processes", columns=columns, values="text").fillna("")


def scaling(table: pd.DataFrame, n_units: int, n_cores: int) -> pd.DataFrame:
    """Return how each case gets on with more workers, by the wall time of the whole.

    For `kind` "strong" (fixed work, of `n_units`: speed-up by workers against one) and "weak" (work grows with workers,
    up to as much: the time of one worker by theirs) `elapsed`, `speedup` (of weak scaling that by workers: work done in
    a time) and `efficiency`, 1 where workers do not hinder each other.
    """
    chosen = table[
        (table["blas_threads"] == 1) & (table["jobs"] == 1) & ~table["over"] & (table["processes"] <= n_cores)
    ]
    case, share = ["backend", "pipeline", "size"], n_units // n_cores
    kinds = {"strong": chosen["n_units"] == n_units, "weak": chosen["n_units"] == share * chosen["processes"]}
    parts = []
    for kind, wanted in kinds.items():
        part = chosen.loc[wanted, [*case, "processes", "n_units", "elapsed"]]
        part.insert(0, "kind", kind)
        alone = part[part["processes"] == 1].set_index(case)["elapsed"]
        gain = alone.reindex(pd.MultiIndex.from_frame(part[case])).to_numpy() / part["elapsed"]
        part["speedup"] = gain if kind == "strong" else gain * part["processes"]
        part["efficiency"] = part["speedup"] / part["processes"]
        parts.append(part)
    curves = pd.concat(parts, ignore_index=True).dropna(subset="speedup")
    several = curves.groupby(["kind", *case])["processes"].transform("nunique") > 1
    return curves[several].sort_values(["kind", *case, "processes"], ignore_index=True)


def deviation(runs: pd.DataFrame) -> float:
    """Return by how much what cells found differs between settings, at most and by its size: rounding, and no more."""
    values: Any = runs.dropna(subset="value").groupby(["pipeline", "size"])["value"]
    return float(((values.max() - values.min()) / values.agg(lambda each: each.abs().max()).clip(lower=1e-9)).max())


# A gain below this is not worth a change, however sure it is.
LEAST = 0.05
CASE = ["pipeline", "size"]


@dataclass(frozen=True)
class Advice:
    """How builds should work: the current setting where none is better beyond noise.

    The recommended one is `gain` times as fast. Noise may have changed that ratio, or any where none is better, by the
    share `noise` (NaN of one round). A `doubt` says why the figures are no reason to change anything.
    """

    setting: Setting
    current: Setting
    gain: float
    noise: float
    n_cases: int
    n_rounds: int
    doubt: str = ""

    def __str__(self) -> str:
        basis = f"{self.n_cases} cases, {self.n_rounds} rounds"
        now, then = (f'backend = "{one.backend}", workers = {one.processes}' for one in (self.current, self.setting))
        if self.setting == self.current:
            unknown = "nothing known of noise from one round" if np.isnan(self.noise) else ""
            return f"keep {now}: {self.doubt or unknown or 'none is faster beyond noise'} ({basis})"
        return f"use {then}: {self.gain:.2f} times as fast as {now}, noise {self.noise:.0%} ({basis})"


def advise(runs: pd.DataFrame, current: Setting, n_units: int, *, doubt: str = "") -> Advice:
    """Recommend a back-end and a number of workers; workers of builds always have one BLAS thread.

    Settings are compared with the current one by the mean log ratio over cases and rounds. How much one case differs
    from round to round says what noise does to that mean. A setting is better if its mean is above noise, in Student's
    distribution at 5 % for all settings together (Bonferroni), above 5 %, and above 1 in every round. Of settings that
    are as good as the best but for noise it is the one of slices, and with the fewest workers.

    Runs are of `run_plan`, compared by the fixed amount of work of `n_units`; the current setting must be among them.
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


def write_settings(root: Path, advice: Advice) -> Path | None:
    """Write the recommended back-end and number of workers to `cortax.toml`, and return its path.

    Its other lines stay as they are; where nothing else is recommended, so does the whole file (None). A ProjectError
    says if it is not valid, or cannot be changed.
    """
    if advice.setting == advice.current:
        return None
    path = root / "cortax.toml"
    changes: dict[str, str | int] = {"backend": advice.setting.backend, "workers": advice.setting.processes}
    try:
        before = read_toml(path) if path.exists() else {}
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        for key, value in changes.items():
            line = re.compile(rf"""^(\s*{key}\s*=\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s#]+)""", re.M)
            text, n_found = line.subn(rf"\g<1>{json.dumps(value)}", text, count=1)
            if not n_found:
                # Before everything else: after a table's head it would belong to that.
                text = f"{key} = {json.dumps(value)}\n{text}"
        with replacing(path) as new:
            new.write_text(text, encoding="utf-8")
            if read_toml(new) != {**before, **changes}:
                raise ProjectError(f"{path}: cannot be changed line by line; write {changes} into it")
    except (OSError, StudyError) as error:
        raise ProjectError(f"{path}: cannot be changed ({error})") from error
    return path
