"""Diffusion: a model in every voxel."""
