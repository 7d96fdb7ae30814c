"""Which module searches which kind of pipeline; apart from the solvers, so that a plan need not load them."""

from __future__ import annotations

__all__ = ["SOLVERS", "solver_modules"]

# Kind of pipeline and task -> module.
SOLVERS: dict[tuple[str, str], str] = {
    ("ridge", "regression"): "cortax.search.ridge",
    ("ridge", "classification"): "cortax.search.logistic",
    ("elastic", "regression"): "cortax.search.elastic",
    ("elastic", "classification"): "cortax.search.logistic",
    ("svm", "regression"): "cortax.search.svm",
    ("svm", "classification"): "cortax.search.svm",
    ("lgbm", "regression"): "cortax.search.lgbm",
    ("lgbm", "classification"): "cortax.search.lgbm",
}


def solver_modules(kind: str) -> list[str]:
    """Return the modules that may fit a kind of pipeline."""
    return sorted({module for (found, _), module in SOLVERS.items() if found == kind})
