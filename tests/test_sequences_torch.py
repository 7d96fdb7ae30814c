"""The plain network of the tests, and the lanes, against PyTorch. Skipped where PyTorch is not installed."""

import numpy as np
import plain_lstm
import pytest
from made_windows import SIZE, make_models, make_windows

from cortax.workloads.sequences.training import TrainingOptions, train

torch = pytest.importorskip("torch", reason="compares with PyTorch, gigabytes that cortax does not need otherwise")


class Network(torch.nn.Module):
    """`nn.LSTM` and `nn.Linear` with the weights of one model; the second bias stays 0."""

    def __init__(self, cell, heads):
        super().__init__()
        self.lstm = torch.nn.LSTM(SIZE.n_inputs, SIZE.n_hidden, dtype=torch.float64)
        self.linear = torch.nn.Linear(SIZE.n_hidden, SIZE.n_outputs, dtype=torch.float64)
        values = {
            self.lstm.weight_ih_l0: cell[: SIZE.n_inputs].T,
            self.lstm.weight_hh_l0: cell[SIZE.n_inputs : -1].T,
            self.lstm.bias_ih_l0: cell[-1],
            self.lstm.bias_hh_l0: 0 * cell[-1],
            self.linear.weight: heads[:-1].T,
            self.linear.bias: heads[-1],
        }
        with torch.no_grad():
            for parameter, value in values.items():
                parameter.copy_(torch.tensor(value))
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        return self.linear(self.lstm(x)[0])

    def gradient(self):
        lstm, linear = self.lstm, self.linear
        cell = torch.cat([lstm.weight_ih_l0.grad.T, lstm.weight_hh_l0.grad.T, lstm.bias_ih_l0.grad[None]])
        return cell.numpy(), torch.cat([linear.weight.grad.T, linear.bias.grad[None]]).numpy()


def loss_of(network, windows, weights, part=slice(None)):
    x, y, observed = (torch.tensor(values[:, part]) for values in (windows.x, windows.y, windows.observed))
    errors = torch.where(observed, network(x) - y, 0.0)
    return (torch.tensor(weights) * torch.sqrt((errors**2).sum((0, 1)) / observed.sum((0, 1)))).sum()


def test_gradients():
    windows, models = make_windows(n_steps=60, n_windows=5), make_models([0.7], [3])
    cell, heads = SIZE.split(models.parameters[0])
    network = Network(cell, heads)
    loss_of(network, windows, models.weights[0]).backward()
    _, *found = plain_lstm.loss_and_gradient(windows.x, windows.y, windows.observed, models.weights[0], cell, heads)
    for own, expected in zip(found, network.gradient(), strict=True):
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("clip", [None, 0.3])
def test_losses_after_20_epochs(clip):
    windows, models = make_windows(n_steps=60, n_windows=5), make_models([0.7], [3])
    network = Network(*SIZE.split(models.parameters[0]))
    changing = [parameter for parameter in network.parameters() if parameter.requires_grad]
    adam, losses = torch.optim.Adam(changing, lr=0.01), []
    for _ in range(20):
        of_batches = []
        for start in (0, 2, 4):
            adam.zero_grad()
            loss = loss_of(network, windows, models.weights[0], slice(start, start + 2))
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(changing, clip)
            adam.step()
            of_batches.append(loss.item())
        losses.append(np.mean(of_batches))
    options = TrainingOptions(epochs=20, rate=0.01, batch=2, clip=clip)
    _, curves = train(models, SIZE, windows, None, options)
    np.testing.assert_allclose(curves.train[0], losses, rtol=1e-10)
