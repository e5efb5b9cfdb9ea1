"""Derivatives of every order through functions that torch's own kernels get wrong or do not have, however they are called."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import odegan
from odegan.modules.exact import REPLACED, UNSEEN, Exact
from tests.peers import compiles

torch.set_num_threads(1)
DRAW = torch.Generator().manual_seed(5)
X = torch.randn(4, 6, generator=DRAW, dtype=torch.float64)
WEIGHT = torch.rand(6, generator=DRAW, dtype=torch.float64) + 0.5
BIAS = torch.randn(6, generator=DRAW, dtype=torch.float64)
W = torch.randn(12, 6, generator=DRAW, dtype=torch.float64) / 3
U = torch.randn(12, 3, generator=DRAW, dtype=torch.float64) / 3
TRAINING = (None, None, True, 0.1, 1e-5)  # of torch's operator: no running statistics, those of the batch
H = torch.randn(4, 3, generator=DRAW, dtype=torch.float64)


def centered(x, axis):
    c = x - x.mean(axis, keepdim=True)
    return c / (c.pow(2).mean(axis, keepdim=True) + 1e-5).sqrt()


def moments(x, axis):
    """The mean and 1 / sqrt(var + eps)."""
    return x.mean(axis, keepdim=True), (x.var(axis, correction=0, keepdim=True) + 1e-5) ** -0.5


def attention(x):
    scores = x @ x.transpose(-1, -2) / x.shape[-1] ** 0.5
    return torch.softmax(scores, -1) @ x


# A function of x (4, 6), and the same in elementary operations.
CASES = {
    F.layer_norm: (lambda x: F.layer_norm(x, (6,), WEIGHT, BIAS), lambda x: centered(x, 1) * WEIGHT + BIAS),
    torch.layer_norm: (lambda x: torch.layer_norm(x, (6,)), lambda x: centered(x, 1)),
    F.group_norm: (
        lambda x: F.group_norm(x, 2, WEIGHT, BIAS),
        lambda x: centered(x.reshape(4, 2, 3), 2).reshape(4, 6) * WEIGHT + BIAS,
    ),
    torch.group_norm: (lambda x: torch.group_norm(x, 2), lambda x: centered(x.reshape(4, 2, 3), 2).reshape(4, 6)),
    F.rms_norm: (
        lambda x: F.rms_norm(x, (6,), WEIGHT, 1e-3),
        lambda x: x / (x.pow(2).mean(1, True) + 1e-3).sqrt() * WEIGHT,
    ),
    torch.rms_norm: (
        lambda x: torch.rms_norm(x, (6,), None, 1e-3),
        lambda x: x / (x.pow(2).mean(1, True) + 1e-3).sqrt(),
    ),
    F.batch_norm: (
        lambda x: F.batch_norm(x, None, None, WEIGHT, BIAS, training=True),
        lambda x: centered(x, 0) * WEIGHT + BIAS,
    ),
    torch.batch_norm: (
        lambda x: torch.batch_norm(x, None, None, BIAS, WEIGHT, False, 0.1, 1e-5, False),
        lambda x: (x - BIAS) / (WEIGHT + 1e-5).sqrt(),
    ),
    F.instance_norm: (
        lambda x: F.instance_norm(x.reshape(4, 2, 3)).reshape(4, 6),
        lambda x: centered(x.reshape(4, 2, 3), 2).reshape(4, 6),
    ),
    torch.instance_norm: (
        lambda x: torch.instance_norm(x.unsqueeze(1), None, None, None, None, True, 0.1, 1e-5, False).squeeze(1),
        lambda x: centered(x, 1),
    ),
    F.scaled_dot_product_attention: (
        lambda x: F.scaled_dot_product_attention(*[x.reshape(2, 2, 6)] * 3),
        lambda x: attention(x.reshape(2, 2, 6)),
    ),
    torch.cdist: (lambda x: torch.cdist(x, 2 * X), lambda x: (x.unsqueeze(1) - 2 * X).pow(2).sum(-1).sqrt()),
    torch.pdist: (F.pdist, lambda x: torch.stack([(x[i] - x[j]).norm() for i in range(4) for j in range(i + 1, 4)])),
    torch._weight_norm: (
        lambda x: torch._weight_norm(x, H[:, :1], 0),
        lambda x: x * H[:, :1] / x.pow(2).sum(1, keepdim=True).sqrt(),
    ),
    torch.native_layer_norm: (
        lambda x: torch.cat(torch.native_layer_norm(x, (6,), WEIGHT, BIAS, 1e-5), 1),
        lambda x: torch.cat([centered(x, 1) * WEIGHT + BIAS, *moments(x, 1)], 1),
    ),
    torch.native_group_norm: (
        lambda x: torch.cat(torch.native_group_norm(x, WEIGHT, BIAS, 4, 6, 1, 2, 1e-5), 1),
        lambda x: torch.cat(
            [centered(x.reshape(4, 2, 3), 2).reshape(4, 6) * WEIGHT + BIAS]
            + [part.squeeze(2) for part in moments(x.reshape(4, 2, 3), 2)],
            1,
        ),
    ),
    torch.native_batch_norm: (
        lambda x: torch.cat([part.reshape(-1, 6) for part in torch.native_batch_norm(x, WEIGHT, BIAS, *TRAINING)]),
        lambda x: torch.cat([centered(x, 0) * WEIGHT + BIAS, *moments(x, 0)]),
    ),
    torch.lstm_cell: (
        lambda x: torch.lstm_cell(x, (H, H), W, U)[0],
        lambda x: lstm(x)[0],
    ),
    torch.gru_cell: (lambda x: torch.gru_cell(x, H, W[:9], U[:9]), lambda x: gru(x)),
    torch.rnn_tanh_cell: (
        lambda x: torch.rnn_tanh_cell(x, H, W[:3], U[:3]),
        lambda x: torch.tanh(x @ W[:3].T + H @ U[:3].T),
    ),
    torch.rnn_relu_cell: (
        lambda x: torch.rnn_relu_cell(x, H, W[:3], U[:3]),
        lambda x: torch.relu(x @ W[:3].T + H @ U[:3].T),
    ),
}
LAYERS = {torch.lstm: nn.LSTM, torch.gru: nn.GRU, torch.rnn_tanh: nn.RNN, torch.rnn_relu: nn.RNN}


def lstm(x):
    i, f, g, o = (x @ W.T + H @ U.T).split(3, 1)
    c = torch.sigmoid(f) * H + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru(x):
    a = (x @ W[:9].T).split(3, 1)
    b = (H @ U[:9].T).split(3, 1)
    r = torch.sigmoid(a[0] + b[0])
    z = torch.sigmoid(a[1] + b[1])
    return (1 - z) * torch.tanh(a[2] + r * b[2]) + z * H


def third(function):
    """The gradient of the squared gradient of the squared gradient of a sum, by plain autograd."""
    x = X.clone().requires_grad_()
    value = torch.sin(function(x)).sum()
    for _ in range(3):
        (g,) = torch.autograd.grad(value, x, create_graph=True)
        value = g.pow(2).sum()
    return g.detach()


def replaced(function):
    def call(x):
        with Exact(1_000, autocast=False):
            return function(x)

    return call


@pytest.mark.parametrize("pair", CASES.values(), ids=lambda pair: "")
def test_third_derivatives(pair):
    function, plain = pair
    torch.testing.assert_close(replaced(function)(X), function(X), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(replaced(function)(X), plain(X), rtol=1e-12, atol=1e-13)
    expected = third(plain)
    torch.testing.assert_close(third(replaced(function)), expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "settings", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False, "batch_first": True}]
)
@pytest.mark.parametrize("kind", ["LSTM", "LSTM projected", "GRU", "RNN", "RNN relu"])
def test_recurrent_layers(kind, settings):
    more = {"LSTM projected": {"proj_size": 2}, "RNN relu": {"nonlinearity": "relu"}}.get(kind, {})
    layer = getattr(nn, kind.split()[0])(3, 4, **settings, **more).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    outputs, ends = layer(x)
    with Exact(1_000, autocast=False):
        exact, exact_ends = layer(x)
    torch.testing.assert_close(exact, outputs, rtol=1e-10, atol=1e-12)
    for a, b in zip(torch.utils._pytree.tree_leaves(exact_ends), torch.utils._pytree.tree_leaves(ends), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_every_replacement_is_tried():
    plain = {key for key in REPLACED if not type(key).__name__.startswith("OpOverload")}
    assert plain - {F.multi_head_attention_forward} == CASES.keys() | LAYERS.keys()


@pytest.mark.parametrize("name", ["layer_norm", "native_layer_norm", "group_norm", "rms_norm", "cdist", "_weight_norm"])
@pytest.mark.parametrize("operator", [lambda packet: packet, lambda packet: packet.default], ids=["packet", "overload"])
def test_torchs_operators_are_replaced_too(name, operator):
    others = {
        "cdist": [2 * X],
        "_weight_norm": [H[:, :1]],
        "group_norm": [2],
        "native_layer_norm": [[6], None, None, 1e-5],
    }
    given = others.get(name, [[6]])

    def value(function):
        return lambda x: torch.cat(torch.utils._pytree.tree_leaves(function(x, *given)), -1)

    called = replaced(value(operator(getattr(torch.ops.aten, name))))
    torch.testing.assert_close(third(called), third(replaced(value(getattr(torch, name)))), rtol=1e-12, atol=1e-12)


@compiles
@pytest.mark.parametrize(
    "function", [case for case in CASES if case not in UNSEEN], ids=lambda function: function.__name__
)
def test_compiled_functions_are_replaced_too(function):
    """Of the traced graph, which calls elementary operations or, for attention, the plain kernel."""
    called = []

    def backend(graph, inputs):
        called.extend(node.target for node in graph.graph.nodes)
        return graph

    value = CASES[function][0]
    traced = torch.compile(lambda x: replaced(value)(2 * x), backend=backend, fullgraph=True)
    torch.testing.assert_close(traced(X / 2), replaced(value)(X), rtol=1e-12, atol=1e-12)
    assert function is F.scaled_dot_product_attention or not REPLACED.keys() & set(called)
    torch.compiler.reset()


def test_distances_of_equal_points_have_zero_derivatives():
    twice = replaced(lambda x: torch.cdist(x, x))
    assert bool(third(twice).isfinite().all())
    first, second = (torch.func.grad(lambda x, f=f: f(x).pow(2).sum())(X) for f in (twice, lambda x: torch.cdist(x, x)))
    torch.testing.assert_close(first, second)


class Functional(nn.Module):
    def forward(self, x):
        return F.layer_norm(x, (6,))


NORMS = {
    "layer": lambda: nn.LayerNorm(6),
    "a subclass": lambda: type("Own", (nn.LayerNorm,), {})(6),
    "F.layer_norm": Functional,
    "batch": lambda: nn.BatchNorm1d(6),
    "instance": lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2), nn.Flatten()),
    "instance without channels": lambda: nn.InstanceNorm1d(6),
    "eval": lambda: nn.BatchNorm1d(6).eval(),
    "weight": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
}


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS.keys())
def test_the_jacobian_of_a_penalized_field(norm):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 6), norm(), nn.Tanh(), nn.Linear(6, 1)).double()
    generator = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    game = odegan.gan(generator, critic, latent=3)
    y = game.init() + 0.05 * torch.randn(game.n_params, dtype=torch.float64)
    batch = (torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64))
    field = odegan.vector_field(game, [odegan.penalties.generator_gradient(0.3)])
    v, w = torch.randn(2, len(y), dtype=torch.float64)
    exact = torch.func.vjp(lambda own: field(0.0, own, batch), y)[1](w)[0] @ v
    with torch.no_grad():
        step = 1e-5
        difference = w @ (field(0.0, y + step * v, batch) - field(0.0, y - step * v, batch)) / (2 * step)
        mapped = torch.vmap(lambda own: field(0.0, own, batch))(torch.stack([y, 0.9 * y]))
        torch.testing.assert_close(mapped[0], field(0.0, y, batch), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(exact, difference, rtol=1e-5, atol=1e-7)
