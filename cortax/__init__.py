"""Parcellations x pipelines x targets x folds on one server, as an incremental Exax build."""
