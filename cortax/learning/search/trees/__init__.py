"""Boosted trees: LightGBM without its wrappers, and searches that spend less."""
