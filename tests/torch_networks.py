"""Modules that studies could name."""

import torch


class Gauge(torch.nn.Module):
    """What the built-in `lstm` is: `nn.LSTM` with a linear head; the second bias stays 0."""

    def __init__(self, n_inputs, n_outputs, hidden=5):
        super().__init__()
        self.lstm = torch.nn.LSTM(n_inputs, hidden)
        self.linear = torch.nn.Linear(hidden, n_outputs)
        with torch.no_grad():
            self.lstm.bias_hh_l0.zero_()
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        return self.linear(self.lstm(x)[0])


class Varied(torch.nn.Module):
    """Has all that makes going on difficult: dropout, running means, an infinite constant, a weight nobody uses."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.gru = torch.nn.GRU(n_inputs, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.drop = torch.nn.Dropout(0.3)
        self.linear = torch.nn.Linear(4, n_outputs)
        self.unused = torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("mask", torch.full((3,), -torch.inf))

    def forward(self, x):
        hidden = self.gru(x)[0].movedim(2, 1)
        return self.linear(self.drop(self.norm(hidden).movedim(1, 2)))


class OneTarget(Gauge):
    """Lacks a target: where it went unnoticed, the one output would be taken for all of them."""

    def forward(self, x):
        return super().forward(x)[..., :1]


class Squeezed(Gauge):
    """Is right but for a batch of one window."""

    def forward(self, x):
        return super().forward(x).squeeze(1)


class Failing(Gauge):
    def forward(self, x):
        return self.linear(x)


class Constant(torch.nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.n_outputs = n_outputs

    def forward(self, x):
        return torch.zeros(*x.shape[:2], self.n_outputs)


class Tuple(Gauge):
    def forward(self, x):
        return self.lstm(x)


def not_a_module(n_inputs, n_outputs):
    return n_inputs + n_outputs
