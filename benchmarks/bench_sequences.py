"""Small LSTMs side by side against PyTorch: CPU time a model and epoch, memory, and whether the models are as good.

`speed`: models of 20 hidden units, windows of 365 days, 7 inputs and two targets with gaps (SIMULATED), at several
batch sizes: a process a model as workflow managers start them, `nn.LSTM` in one warm process, `torch.func.vmap` over
eight models, and cortax (its memory: `bench_grid.py part`). `seeds`: losses of many seeds after many epochs in float32,
PyTorch's and cortax's from the same initial weights, by a two-sample test. Both need PyTorch (`pip install torch`).
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from scipy import stats

from cortax.lanes.batched import HAS_FMA
from cortax.workloads.sequences.networks import NetworkSize, initial_parameters
from cortax.workloads.sequences.training import TrainingOptions, Windows, begin, train

PUBLISHED = NetworkSize(n_inputs=7, n_hidden=20, n_outputs=2)
N_MODELS = 8
RATE = 0.003


def make_windows(size, n_steps, n_windows, seed=0):
    """SIMULATED windows: a reservoir that the first input fills, and another target that is mostly missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_steps, n_windows, size.n_inputs)).astype(np.float32)
    level, flow = np.zeros(n_windows), []
    for now in x:
        level = 0.9 * level + np.maximum(now[:, 0], 0) - 0.1 * now[:, 1]
        flow.append(level)
    y = np.stack([flow, np.tanh(flow)], axis=-1) + 0.1 * rng.normal(size=(n_steps, n_windows, 2))
    observed = rng.random(y.shape) < [0.95, 0.3]
    return Windows(x, y.astype(np.float32), observed)


class Network(torch.nn.Module):
    """`nn.LSTM` with a linear head, with the weights of one model."""

    def __init__(self, size, parameters):
        super().__init__()
        self.lstm = torch.nn.LSTM(size.n_inputs, size.n_hidden)
        self.linear = torch.nn.Linear(size.n_hidden, size.n_outputs)
        cell, heads = size.split(parameters)
        values = (cell[: size.n_inputs].T, cell[size.n_inputs : -1].T, cell[-1], 0 * cell[-1], heads[:-1].T, heads[-1])
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), values, strict=True):
                parameter.copy_(torch.tensor(value))
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        return self.linear(self.lstm(x)[0])


def loss_of(outputs, y, observed):
    errors = torch.where(observed, outputs - y, 0.0)
    return torch.sqrt((errors**2).sum((0, 1)) / observed.sum((0, 1))).sum()


def train_torch(network, windows, epochs):
    """Train one model by PyTorch, all windows a batch; return its losses."""
    tensors = [torch.tensor(values) for values in (windows.x, windows.y, windows.observed)]
    adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=RATE)
    losses = []
    for _ in range(epochs):
        adam.zero_grad()
        loss = loss_of(network(tensors[0]), *tensors[1:])
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


def train_vmap(size, parameters, windows, epochs):
    """Train models by `torch.func.vmap` over an LSTM of elementary operations, which is what it can batch."""
    x, y, observed = (torch.tensor(values) for values in (windows.x, windows.y, windows.observed))

    def loss(cell, heads):
        h = c = torch.zeros(x.shape[1], size.n_hidden)
        outputs = []
        for now in x:
            i, f, g, o = (now @ cell[: size.n_inputs] + h @ cell[size.n_inputs : -1] + cell[-1]).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h @ heads[:-1] + heads[-1])
        return loss_of(torch.stack(outputs), y, observed)

    weights = [torch.tensor(part) for part in map(np.array, zip(*map(size.split, parameters), strict=True))]
    adam = torch.optim.Adam(weights, lr=RATE)
    step = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)))
    for _ in range(epochs):
        for part, gradient in zip(weights, step(*weights), strict=True):
            part.grad = gradient
        adam.step()


def train_lanes(size, parameters, windows, epochs):
    models = begin(parameters, np.ones((len(parameters), 2)))
    return train(models, size, windows, None, TrainingOptions(epochs=epochs, rate=RATE, batch=windows.x.shape[1]))


def cpu(function, *arguments):
    """The least CPU seconds of three runs."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        function(*arguments)
        taken.append(time.process_time() - start)
    return min(taken)


def one_process(batch, epochs):
    """CPU seconds of a process that trains one model, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, __file__, "one", "--batch", str(batch), "--epochs", str(epochs)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def parameters_of(size, n):
    return np.array([initial_parameters(size, seed) for seed in range(n)]).astype(np.float32)


def speed(batches, epochs, whole):
    print(f"CPU ms a model and epoch; a process trains {whole} epochs; FMA: {HAS_FMA}\n")
    print("| batch | process a model | warm nn.LSTM | vmap of 8 | cortax | process / cortax | warm / cortax |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for batch in batches:
        windows, parameters = make_windows(PUBLISHED, 365, batch), parameters_of(PUBLISHED, N_MODELS)
        train_lanes(PUBLISHED, parameters, windows, 1)
        own = cpu(train_lanes, PUBLISHED, parameters, windows, epochs) / N_MODELS / epochs
        warm = cpu(lambda w=windows, p=parameters: train_torch(Network(PUBLISHED, p[0]), w, epochs)) / epochs
        mapped = cpu(train_vmap, PUBLISHED, parameters, windows, 1) / N_MODELS
        process = one_process(batch, whole) / whole
        times = " | ".join(f"{1e3 * value:.2f}" for value in (process, warm, mapped, own))
        print(f"| {batch} | {times} | {process / own:.1f} | {warm / own:.1f} |", flush=True)


def seeds(n, epochs):
    size = NetworkSize(n_inputs=3, n_hidden=8, n_outputs=2)
    windows, parameters = make_windows(size, 60, 4), parameters_of(size, n)
    _, curves = train_lanes(size, parameters, windows, epochs)
    expected = np.array([train_torch(Network(size, each), windows, epochs) for each in parameters])
    for epoch in sorted({1, 20, epochs}):
        own, other = curves.train[:, epoch - 1], expected[:, epoch - 1]
        apart = np.abs(own - other).max()
        p = stats.ks_2samp(own, other).pvalue
        print(
            f"epoch {epoch}: median loss {np.median(own):.5f} and PyTorch's {np.median(other):.5f}; the same seed at "
            f"most {apart:.1e} apart; Kolmogorov-Smirnov p {p:.2f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "seeds", "one"])
    parser.add_argument("--batch", type=int, nargs="+", default=[5, 10, 25], help="windows a step")
    parser.add_argument("--epochs", type=int, help="timed epochs, 5; or those that seeds are trained, 300")
    parser.add_argument("--whole", type=int, default=300, help="epochs of a process a model")
    parser.add_argument("--seeds", type=int, default=100)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "speed":
        speed(asked.batch, asked.epochs or 5, asked.whole)
    elif asked.what == "seeds":
        seeds(asked.seeds, asked.epochs or 300)
    else:
        network = Network(PUBLISHED, parameters_of(PUBLISHED, 1)[0])
        train_torch(network, make_windows(PUBLISHED, 365, asked.batch[0]), asked.epochs)


if __name__ == "__main__":
    main()
