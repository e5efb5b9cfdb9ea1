"""Labels that are known without reading items: of whole data sets, of parts, and of several together."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from odegan.data.given import known_labels
from tests.data.given_cases import LABELS, ROWS, N, Pairs, WithTargets, make

torch.set_num_threads(1)


class OfItems(Dataset):
    """The items of another data set, and nothing else of it."""

    def __init__(self, whole):
        self.whole = whole

    def __len__(self):
        return len(self.whole)

    def __getitem__(self, i):
        return self.whole[i]


def test_labels_known_without_items_ask_for_no_more_items():
    asked = []

    class Counting(WithTargets):
        def __getitem__(self, i):
            asked.append(i)
            return super().__getitem__(i)

    shuffled = torch.randperm(N, generator=torch.Generator().manual_seed(0)).tolist()
    for data in (Counting(), Subset(Counting(), shuffled), ConcatDataset([Counting(), Subset(Counting(), shuffled)])):
        asked.clear()
        fields = make(data, labels=True).fields(0, 3)
        assert len(asked) == 3 * 7
        # The same labels as those of the items, which are asked where the data set cannot tell.
        asking = make(OfItems(data), labels=True).fields(0, 3)
        assert torch.equal(fields["fake_label"], asking["fake_label"])


@pytest.mark.parametrize("indices", [[3, 1], [-1, 0], range(2, 5), np.array([4, 2]), torch.tensor([7, 3])], ids=str)
def test_labels_of_a_part_are_those_of_its_items(indices):
    for whole in (WithTargets(), TensorDataset(ROWS, LABELS)):
        part = Subset(whole, indices)
        assert known_labels(part).tolist() == [int(part[i][1]) for i in range(len(part))]


def test_labels_of_a_part_are_unknown_where_only_items_tell():
    class Own(Subset):
        pass

    changed = WithTargets()
    changed.target_transform = lambda label: label + 1
    for part in (Own(WithTargets(), [1]), Subset(changed, [1]), Subset(Pairs(), [1]), Subset(WithTargets(), [N])):
        assert known_labels(part) is None
    assert known_labels(Subset(WithTargets(), ["one"])) is None
    assert known_labels(ConcatDataset([WithTargets(), Pairs()])) is None
