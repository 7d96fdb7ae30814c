"""Decoding: signals over time, trained in one phase, tested in others, and permuted."""
