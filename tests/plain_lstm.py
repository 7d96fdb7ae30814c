"""An LSTM with heads, its gradients and Adam in plain NumPy, one window and one step of time after the other.

The oracle of `cortax.workloads.sequences`; tests/test_sequences_torch.py compares it with PyTorch.
"""

import numpy as np


def logistic(x):
    return 1 / (1 + np.exp(-x))


def run(x, cell, heads):
    """`x` (n_steps, n_inputs), one window. Returns outputs (n_steps, n_outputs) and what `gradients` needs."""
    n = len(heads) - 1
    h = c = np.zeros(n)
    outputs, kept = [], []
    for now in x:
        column = np.concatenate([now, h, [1.0]])
        i, f, g, o = np.split(column @ cell, 4)
        i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
        before, c = c, f * c + i * g
        h = o * np.tanh(c)
        kept.append((column, i, f, g, o, before, c, h))
        outputs.append(np.append(h, 1.0) @ heads)
    return np.array(outputs), kept


def gradients(kept, d_outputs, cell, heads):
    """The gradients of `cell` and `heads`, of those of the outputs of one window."""
    n = len(heads) - 1
    d_cell, d_heads = np.zeros_like(cell), np.zeros_like(heads)
    d_h = d_c = np.zeros(n)
    for (column, i, f, g, o, before, c, h), d_output in zip(reversed(kept), reversed(d_outputs), strict=True):
        d_heads += np.outer(np.append(h, 1.0), d_output)
        d_h = d_h + heads[:-1] @ d_output
        s = np.tanh(c)
        d_c = d_c + d_h * o * (1 - s**2)
        d_gates = np.concatenate(
            [d_c * g * i * (1 - i), d_c * before * f * (1 - f), d_c * i * (1 - g**2), d_h * s * o * (1 - o)]
        )
        d_cell += np.outer(column, d_gates)
        d_h, d_c = cell[-n - 1 : -1] @ d_gates, d_c * f
    return d_cell, d_heads


def loss_and_gradient(x, y, observed, weights, cell, heads):
    """The loss of a batch and its gradient; `x`, `y`, `observed` (n_steps, n_windows, ...)."""
    runs = [run(x[:, b], cell, heads) for b in range(x.shape[1])]
    outputs = np.stack([found for found, _ in runs], axis=1)
    errors = np.where(observed, outputs - np.where(observed, y, 0), 0)
    counts = observed.sum(axis=(0, 1))
    rmse = np.sqrt((errors**2).sum(axis=(0, 1)) / np.maximum(counts, 1))
    scale = np.divide(weights, counts * rmse, out=np.zeros(len(weights)), where=(counts * rmse) > 0)
    parts = [gradients(kept, (errors * scale)[:, b], cell, heads) for b, (_, kept) in enumerate(runs)]
    return float(weights @ rmse), sum(cell for cell, _ in parts), sum(heads for _, heads in parts)


class Adam:
    """Of PyTorch's defaults."""

    def __init__(self, rate):
        self.rate, self.step, self.m, self.v = rate, 0, 0.0, 0.0

    def change(self, gradient):
        """What to add to the parameters."""
        self.step += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        m, v = self.m / (1 - 0.9**self.step), self.v / (1 - 0.999**self.step)
        return -self.rate * m / (np.sqrt(v) + 1e-8)


def train(x, y, observed, weights, cell, heads, *, epochs, rate, batch, clip=None):
    """Losses of every epoch, and the parameters after the last."""
    n, adam, losses = cell.size, Adam(rate), []
    parameters = np.concatenate([cell.ravel(), heads.ravel()])
    for _ in range(epochs):
        of_batches = []
        for start in range(0, x.shape[1], batch):
            now = slice(start, start + batch)
            cell, heads = parameters[:n].reshape(cell.shape), parameters[n:].reshape(heads.shape)
            loss, *found = loss_and_gradient(x[:, now], y[:, now], observed[:, now], weights, cell, heads)
            gradient = np.concatenate([part.ravel() for part in found])
            if clip is not None:
                gradient = gradient * min(1.0, clip / (np.linalg.norm(gradient) + 1e-6))
            parameters = parameters + adam.change(gradient)
            of_batches.append(loss)
        losses.append(np.mean(of_batches))
    return np.array(losses), parameters
