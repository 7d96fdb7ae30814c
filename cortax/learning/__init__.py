"""Nested search, folds, scores, and what is made of predictions."""
