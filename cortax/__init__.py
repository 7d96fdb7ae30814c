"""Parcellations x pipelines x targets x folds on one server, as an incremental Exax build."""

# First of all modules: it remembers how the project's files looked before any of them was loaded.
from cortax.provenance import closure as _closure  # noqa: F401
