"""Labels that are no classes of the networks are refused in one line, before a run where the labels are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import odegan
from odegan.data.minibatches import Minibatches
from odegan.modules.validate import CannotTakeError

CLASSES = 3
N = 40
ROWS = torch.randn(N, 2, generator=torch.Generator().manual_seed(0))
FINE = torch.arange(N) % CLASSES
LAST = N - 1  # the sample with a label that is no class
RUN = {"solver": "euler", "step_size": 0.01, "batch_size": 4, "steps": 2 * N // 4}


class Net(nn.Module):
    """A network of (x, label) with a table of parameters, an embedding, or one-hot rows."""

    def __init__(self, n_in: int, n_out: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.table = nn.Embedding(CLASSES, 3) if kind == "embedding" else nn.Parameter(torch.ones(CLASSES, 3).cumsum(0))
        self.out = nn.Linear(n_in + 3, n_out)

    def forward(self, x, label):
        rows = {
            "embedding": lambda: self.table(label),
            "one-hot": lambda: nn.functional.one_hot(label, CLASSES).to(x) @ self.table,
            "parameters": lambda: self.table[label],
        }
        return self.out(torch.cat([x, rows[self.kind]()], 1))


KINDS = ("embedding", "one-hot", "parameters")


def game(kind: str = "embedding") -> odegan.Game:
    torch.manual_seed(0)
    return odegan.gan(Net(4, 2, kind), Net(2, 1, kind), latent=4)


def labels(wrong: int) -> torch.Tensor:
    found = FINE.clone()
    found[LAST] = wrong
    return found


class Targets(Dataset):
    """As torchvision's sets: labels in ``targets``, items with the label that ``target_transform`` makes of them."""

    def __init__(self, targets, target_transform=None) -> None:
        self.targets = targets
        self.target_transform = target_transform

    def __len__(self):
        return N

    def __getitem__(self, i):
        label = int(self.targets[i])
        return ROWS[i], label if self.target_transform is None else self.target_transform(label)


KNOWN = {
    "table": lambda given: (ROWS, given),
    "TensorDataset": lambda given: TensorDataset(ROWS, given),
    "targets": Targets,
    "targets, a list": lambda given: Targets(given.tolist()),
    "targets, an array": lambda given: Targets(given.numpy()),
}
UNKNOWN = {
    "items": lambda given: [(ROWS[i], int(given[i])) for i in range(N)],
    "transformed": lambda given: Targets(given - 5, lambda label: label + 5),
    "function": lambda given: lambda n, draw: (lambda i: (ROWS[i], given[i]))(torch.randint(N, (n,), generator=draw)),
}


def run(data, kind, steps):
    made = game(kind)
    return odegan.odeint_gan(
        made, made.init(), data=data, seed=1, callback=lambda state, info: steps.append(state.t), **RUN
    )


@pytest.mark.parametrize("wrong", [CLASSES, 300, -1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", KNOWN)
def test_known_labels_are_refused_before_the_first_step(name, kind, wrong):
    steps: list[float] = []
    with pytest.raises(odegan.ArgumentError) as told:
        run(KNOWN[name](labels(wrong)), kind, steps)
    assert steps == []
    message = str(told.value)
    assert "\n" not in message
    if kind == "embedding" or wrong < 0:
        assert message.startswith(f"data labels: got {wrong}; it must be ")
    else:
        assert isinstance(told.value, CannotTakeError)
        assert f"labels from 0 to {wrong}" in message


@pytest.mark.parametrize("wrong", [CLASSES, -1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_labels_are_refused_where_they_come(name, kind, wrong):
    steps: list[float] = []
    # The function's first minibatch may have it, on which the networks are tried.
    expected = rf"^data labels: got {wrong}; it must be " + rf"|with labels from . to {wrong}" * (name == "function")
    with pytest.raises(odegan.ArgumentError, match=expected) as told:
        run(UNKNOWN[name](labels(wrong)), kind, steps)
    assert "\n" not in str(told.value)
    assert steps or name == "function"


@pytest.mark.parametrize("name", [*KNOWN, *UNKNOWN])
@pytest.mark.parametrize("kind", KINDS)
def test_classes_of_the_networks_are_accepted(name, kind):
    steps: list[float] = []
    assert run((KNOWN | UNKNOWN)[name](FINE), kind, steps).status == "finished"


def test_transformed_labels_are_those_of_generated_samples():
    data = Targets(FINE - 5, lambda label: label + 5)
    batch = Minibatches(data, 4, 20, 0, ROWS, labels=True)(0)
    assert set(batch.fake_label.tolist()) == set(range(CLASSES))


def batch(label, fake_label=None):
    return odegan.Batch(ROWS[:6], torch.ones(6, 4), label=label, fake_label=fake_label)


USES = {
    "field": lambda made, given: odegan.vector_field(made)(0.0, made.init(), given),
    "losses": lambda made, given: made.losses(made.init(), given)[0],
    "stepper": lambda made, given: (lambda s: s.step(s.init(made.init()), given)[0].y)(
        odegan.Stepper(made, solver="euler", step_size=0.1)
    ),
    "second step": lambda made, given: (lambda s: s.step(s.step(s.init(made.init()), batch(FINE[:6]))[0], given)[0].y)(
        odegan.Stepper(made, solver="euler", step_size=0.1)
    ),
    "modules": lambda made, given: torch.cat([p.flatten() for p in made.modules(made.init(), [given])[0].parameters()]),
}


@pytest.mark.parametrize("field", ["label", "fake_label"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", USES)
def test_negative_labels_of_a_batch_are_refused(use, kind, field):
    given = batch(FINE[:6]) if field == "fake_label" else batch(FINE[:6] - 1, FINE[:6])
    if field == "fake_label":
        given.fake_label = FINE[:6] - 1
    with pytest.raises(odegan.ArgumentError, match=rf"^batch\.{field}: got -1; it must be whole numbers from 0"):
        USES[use](game(kind), given)


@pytest.mark.parametrize("kind", KINDS)
def test_negative_labels_to_draw_are_refused(kind):
    made = game(kind)
    for label in (-1, [0, -1]):
        with pytest.raises(odegan.ArgumentError, match=r"^label: got .*-1"):
            made.sample(made.init(), 2, label=label)


@pytest.mark.parametrize("use", ["field", "losses", "stepper", "second step"])
def test_a_label_beyond_the_last_class_is_one_line(use):
    wrong = FINE[:6].clone()
    wrong[3] = CLASSES
    with pytest.raises(odegan.ArgumentError) as told:
        USES[use](game(), batch(wrong))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", USES)
def test_labels_of_fewer_bits_are_the_same_labels(use, kind, dtype):
    made = game(kind)
    expected = USES[use](made, batch(FINE[:6], FINE[6:12]))
    found = USES[use](made, batch(FINE[:6].to(dtype), FINE[6:12].to(dtype)))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
