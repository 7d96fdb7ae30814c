"""Configurations that optuna's TPE proposes, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

__all__ = ["Proposals"]


class Proposals:
    """A sequence of configurations, each drawn where those before it did well.

    Parameters
    ----------
    space : mapping
        See `spaces`.
    seed : int
    n_configs : int
        How many there will be; the first third of them is drawn at random.
    """

    def __init__(self, space: Mapping[str, Any], seed: int, n_configs: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(n_configs // 3, 1))
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space = space

    def ask(self) -> dict[str, Any]:
        """Return the next configuration."""
        trial = self._study.ask()
        return {name: _suggest(trial, name, self._space[name]) for name in sorted(self._space)}

    def tell(self, score: float) -> None:
        """Say how good the configuration asked for last is; NaN: it failed."""
        last = len(self._study.trials) - 1
        if np.isnan(score):
            self._study.tell(last, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(last, score)


def _suggest(trial: optuna.Trial, name: str, spec: Any) -> Any:
    if isinstance(spec, Mapping):
        if spec.get("zero") and trial.suggest_categorical(f"{name} is 0", [False, True]):
            return 0.0
        if spec.get("integer"):
            return trial.suggest_int(name, int(spec["low"]), int(spec["high"]))
        return trial.suggest_float(name, spec["low"], spec["high"], log=bool(spec.get("log")))
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return trial.suggest_categorical(name, list(spec))
    return spec
