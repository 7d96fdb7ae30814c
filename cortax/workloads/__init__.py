"""Kinds of studies, each a folder of its own."""
