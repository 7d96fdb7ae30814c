"""Inference: permutation tests, intervals and comparisons, on predictions out of fold."""
