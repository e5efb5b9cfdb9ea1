"""torch.nn's layers, as torch's own database has them: exact, or refused in one line; see ``campaign.modules``."""

import re
from pathlib import Path

import pytest
from torch.testing._internal.common_modules import module_db

from campaign import modules
from campaign.module_layers import names

PAGE = Path(__file__).parents[2] / "docs" / "modules.md"
COVERING = ["Conv2d", "InstanceNorm1d", "MultiheadAttention", "GRU", "Embedding", "MaxPool2d", "LazyConv1d"]
# Without a second derivative in torch; of the last, in chunks of the batch or of the classes.
NO_SECOND = {"MultiLabelMarginLoss", "MultiMarginLoss", "CTCLoss", "LinearCrossEntropyLoss"}
# torch's compiler cannot trace the check of the variance, and supports no recurrent layers; a run falls back to eager steps.
NO_GRAPH = {"GaussianNLLLoss", "RNN", "GRU", "LSTM"}
# Nearly all classes have fewer constructions; LinearCrossEntropyLoss has 750.
MOST = 40


def check(name, role, constructions, compiled=False):
    found = modules.results(name, role, constructions, compiled)
    assert found
    field = {result.outcome for result in found if result.check == "field"}
    assert all(outcome == "exact" or outcome.startswith(("refused", "not finite")) for outcome in field)
    if name not in NO_SECOND:
        assert not [
            result for result in found if result.outcome.startswith("torch cannot") and result.check != "ensemble"
        ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COVERING)
def test_a_covering_sample(name):
    check(name, "critic", 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("role", ["generator", "critic"])
@pytest.mark.parametrize("name", names())
def test_every_layer(name, role):
    check(name, role, MOST)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in names() if name not in NO_GRAPH])
def test_every_layer_compiled(name):
    check(name, "critic", 1, compiled=True)


def test_the_page_leaves_none_out():
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \|", PAGE.read_text(), re.MULTILINE)
    found = {(name, role) for name, roles in rows for role in roles.split(", ")}
    assert found == {(info.module_cls.__name__, role) for info in module_db for role in ("generator", "critic")}
    assert "WRONG" not in PAGE.read_text()
