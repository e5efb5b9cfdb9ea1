"""Recurrent networks in elementary operations; each function has the signature of torch's function of the same name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch.nn.functional import linear

Tensor = torch.Tensor
States = tuple[Tensor, ...]  # (h, c) of an LSTM, (h,) of the others
Step = Callable[..., States]
Layers = Callable[..., tuple[Tensor, ...]]  # as torch's functions: (outputs, h[, c])


def lstm_cell(
    x: Tensor,
    hx: States,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    w_hr: Tensor | None = None,
) -> States:
    """(h, c) -> (o tanh c', c'), c' = f c + i g, with the gates in the order (i, f, g, o); w_hr projects the new h."""
    i, f, g, o = (linear(x, w_ih, b_ih) + linear(hx[0], w_hh, b_hh)).chunk(4, -1)
    c = f.sigmoid() * hx[1] + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if w_hr is None else linear(h, w_hr)), c


def gru_cell(
    x: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """h -> (1 - z) n + z h, n = tanh(W x + r (U h)), with the gates in the order (r, z, n)."""
    r_x, z_x, n_x = linear(x, w_ih, b_ih).chunk(3, -1)
    r_h, z_h, n_h = linear(hx, w_hh, b_hh).chunk(3, -1)
    n = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
    # (1 - z) n + z h with one product fewer.
    return n + (z_x + z_h).sigmoid() * (hx - n)


def rnn_tanh_cell(
    x: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """h -> tanh(W x + U h)."""
    return (linear(x, w_ih, b_ih) + linear(hx, w_hh, b_hh)).tanh()


def rnn_relu_cell(
    x: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """h -> relu(W x + U h)."""
    return (linear(x, w_ih, b_ih) + linear(hx, w_hh, b_hh)).relu()


def _only(cell: Callable[..., Tensor]) -> Step:
    return lambda x, hx, *weights: (cell(x, hx[0], *weights),)


def layers(original: Layers, step: Step) -> Layers:
    """Recurrent layers with the given step; packed sequences go to torch's own function."""

    def run(
        x: Tensor,
        hx: Tensor | Sequence[Tensor],
        weights: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        *rest: bool,
    ) -> tuple[Tensor, ...]:
        if isinstance(hx, Tensor) and not hx.is_floating_point():  # the batch sizes of a packed sequence
            return original(x, hx, weights, has_biases, num_layers, *rest)
        _dropout, _train, bidirectional, batch_first = rest
        # As torch calls it: an LSTM gives a list (h, c), the others a tensor h.
        states = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        sequence = rearrange(x, "batch time feature -> time batch feature") if batch_first else x
        each = len(weights) // (num_layers * (1 + bidirectional))
        ends: list[States] = []
        for _ in range(num_layers):
            outputs = []
            for backward in (False, True)[: 1 + bidirectional]:
                k = len(ends)
                own = weights[k * each : (k + 1) * each]
                out, end = _scan(step, sequence, tuple(s[k] for s in states), own, has_biases, backward)
                outputs.append(out)
                ends.append(end)
            sequence = torch.cat(outputs, -1)
        out = rearrange(sequence, "time batch feature -> batch time feature") if batch_first else sequence
        return out, *(torch.stack(parts) for parts in zip(*ends, strict=True))

    return run


def _scan(
    step: Step, sequence: Tensor, state: States, weights: Sequence[Tensor], has_biases: bool, backward: bool
) -> tuple[Tensor, States]:
    """(outputs (T, B, H), last state) of sequence (T, B, F)."""
    # The cells take biases before the projection w_hr, which comes last.
    arguments = list(weights) if has_biases else [*weights[:2], None, None, *weights[2:]]
    outputs = []
    for x in reversed(sequence.unbind(0)) if backward else sequence.unbind(0):
        state = step(x, state, *arguments)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backward else outputs), state


lstm = layers(torch.lstm, lstm_cell)
gru = layers(torch.gru, _only(gru_cell))
rnn_tanh = layers(torch.rnn_tanh, _only(rnn_tanh_cell))
rnn_relu = layers(torch.rnn_relu, _only(rnn_relu_cell))
