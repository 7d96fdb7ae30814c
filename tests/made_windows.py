"""Windows of a made-up river, and models that have not seen them."""

import numpy as np

from cortax.workloads.sequences.networks import NetworkSize, initial_parameters
from cortax.workloads.sequences.training import Windows, begin

SIZE = NetworkSize(n_inputs=3, n_hidden=5, n_outputs=2)


def make_windows(n_steps=12, n_windows=4, dtype=np.float64, seed=0, missing=0.2):
    """The first target follows the inputs with a delay, the second one is the first with other noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_steps, n_windows, SIZE.n_inputs))
    flow = np.cumsum(x[..., 0], axis=0) / 3 + x[..., 1]
    y = np.stack([flow, 0.5 * flow], axis=-1) + 0.1 * rng.normal(size=(n_steps, n_windows, 2))
    observed = rng.random(y.shape) >= missing
    # What is missing must not matter, whatever is there.
    return Windows(x.astype(dtype), np.where(observed, y, 1e30).astype(dtype), observed)


def make_models(factors, seeds, dtype=np.float64):
    """A model for each factor and seed."""
    parameters = np.array([initial_parameters(SIZE, seed) for seed in seeds]).astype(dtype)
    return begin(parameters, np.array([[1.0, factor] for factor in factors]))
