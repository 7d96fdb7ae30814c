"""Strategies over several parcellations: one prediction made of those of many models that exist already."""
