"""Draws as functions of (seed, stream, index): Philox against published vectors, purity on both paths, and statistics."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from odegan import ArgumentError
from odegan.utils.philox import _compiled_on_cuda, _numbers, philox, random_numbers
from odegan.utils.random_streams import NORMAL, PERMUTATION, UNIFORM, Stream, generator, member_seeds, reseed

torch.set_num_threads(1)
CPU = torch.device("cpu")
KINDS = {"normal": (NORMAL, (3, 5)), "uniform": (UNIFORM, (7,)), "permutation": (PERMUTATION, (11,))}


class Counted(Stream):
    """A stream that draws as on devices, here on the CPU."""

    def block(self, start, n):
        drawn = self._counted(start, n)
        return drawn[:, 0] if isinstance(self.seeds, int) else drawn


PATHS = {"generator": Stream, "counter": Counted}


def block(path, kind, seeds, start, n, name="a stream", shape=None):
    law, usual = KINDS[kind]
    return PATHS[path](law, seeds, name, shape or usual, CPU).block(start, n)


# Philox. The vectors are those of Random123's kat_vectors, "philox4x32 10": counter, key, result.
@pytest.mark.parametrize(
    "line",
    [
        "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
        "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
)
def test_known_answers(line):
    words = [torch.tensor([int(word, 16)]) for word in line.split()]
    assert torch.equal(torch.cat(philox(tuple(words[:4]), tuple(words[4:6]))), torch.cat(words[6:]))


def by_hand(counter, key):
    """Philox4x32-10 in Python's integers, after the paper's figure."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0 = 0xD2511F53 * c0
        p2 = 0xCD9E8D57 * c2
        c0 = (p2 >> 32) ^ c1 ^ k0
        c1 = p2 % 2**32
        c2 = (p0 >> 32) ^ c3 ^ k1
        c3 = p0 % 2**32
        k0 = (k0 + 0x9E3779B9) % 2**32
        k1 = (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def test_numbers_are_those_of_their_counters():
    seeds = [0, 5, 2**63 - 1]
    stream = 2**62 + 12345
    start = 2**32 - 5
    numbers = random_numbers(torch.tensor(seeds), torch.tensor(stream), start, n=4, count=10)
    assert numbers.shape == (4, 3, 10)
    for (i, draw), (e, seed) in itertools.product(enumerate(range(start, start + 4)), enumerate(seeds)):
        counters = [(block, draw, stream % 2**32, stream >> 32) for block in range(3)]
        expected = [number for counter in counters for number in by_hand(counter, (seed % 2**32, seed >> 32))]
        assert numbers[i, e].tolist() == expected[:10]


@pytest.mark.slow
def test_it_compiles_whole():
    made = torch.compile(_numbers, backend="eager", fullgraph=True, dynamic=True)
    for seeds, draws, blocks in [([3, 2**40], 2, 5), ([1, 2, 3], 4, 7)]:
        arguments = torch.tensor(seeds), torch.tensor(2**61 + 5), torch.arange(draws), torch.arange(blocks)
        assert torch.equal(made(*arguments), _numbers(*arguments))


# What holds for every law on both paths.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_a_draw_is_a_function_of_seed_and_index(path, kind):
    whole = block(path, kind, 3, 0, 50)
    for start, n in [(0, 1), (0, 16), (15, 2), (7, 30), (31, 1), (16, 16), (49, 1)]:
        assert torch.equal(block(path, kind, 3, start, n), whole[start : start + n])
    law, shape = KINDS[kind]
    stream = PATHS[path](law, 3, "a stream", shape, CPU)
    for start in (5, 6, 40, 6, 0, 17, 16):
        assert torch.equal(stream.block(start, 3), whole[start : start + 3])
    assert len({tuple(draw.flatten().tolist()) for draw in whole}) == 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_a_member_draws_what_it_draws_alone(path, kind):
    seeds = [4, 2**40, 4, 0, 2**63 - 1]
    together = block(path, kind, seeds, 13, 20)
    for member, seed in enumerate(seeds):
        assert torch.equal(together[:, member], block(path, kind, seed, 13, 20))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PATHS)
def test_all_bits_of_a_seed_and_the_name_count(path, kind):
    seeds = [1, 1 + 2**32, 1 + 2**62, 1 + 2**31]
    drawn = block(path, kind, seeds, 0, 20)
    assert len(torch.unique(drawn.flatten(2), dim=1)[0]) == 4
    assert not torch.equal(drawn, block(path, kind, seeds, 0, 20, name="another stream"))


def test_large_draws_are_seeded_one_by_one():
    """Where one draw is more than a seeding makes ahead, blocks begin anywhere too."""
    stream = Stream(NORMAL, [1, 2], "large", (2**18 + 8,), CPU)
    assert torch.equal(stream.block(2, 2)[1], stream.block(3, 1)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_draws_the_counted_numbers_and_waits_for_nothing(kind):
    law, shape = KINDS[kind]
    stream = Stream(law, [3, 2**40], "a stream", shape, torch.device("cuda"))
    stream.block(0, 2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        drawn = stream.block(5, 20)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # erfinv may round otherwise there
    tolerance = 1e-5 if kind == "normal" else 0
    torch.testing.assert_close(drawn.cpu(), block("counter", kind, [3, 2**40], 5, 20), rtol=tolerance, atol=tolerance)


# Statistics. 5 standard deviations, or a probability of 1e-6, in each.
@pytest.mark.parametrize("path", PATHS)
def test_uniform_numbers_are_uniform(path):
    x = block(path, "uniform", 1, 0, 256, shape=(1024,)).flatten()
    assert x.min() >= 0
    assert x.max() < 1
    assert torch.equal(x * 2**24, (x * 2**24).round())
    for shift in (1, 2**8, 2**16):  # leading, middle and last bits
        bins = ((x.double() * shift) % 1 * 256).long()
        assert stats.chisquare(torch.bincount(bins, minlength=256)).pvalue > 1e-6


@pytest.mark.parametrize("path", PATHS)
def test_normal_numbers_are_normal(path):
    z = block(path, "normal", 1, 0, 256, shape=(1024,)).flatten().double()
    for power, moment, deviation in [(1, 0.0, 1.0), (2, 1.0, 2**0.5), (3, 0.0, 15**0.5), (4, 3.0, 96**0.5)]:
        assert abs(z.pow(power).mean() - moment) < 5 * deviation / len(z) ** 0.5
    assert stats.kstest(z.numpy(), "norm").pvalue > 1e-6
    assert 4 < z.abs().max() < 6


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_permutations_are_uniform(path, size):
    drawn = block(path, "permutation", 1, 0, 4800, shape=(size,))
    orders = list(itertools.permutations(range(size)))
    counts = [int((drawn == torch.tensor(order)).all(1).sum()) for order in orders]
    assert sum(counts) == 4800
    assert len(counts) == 1 or stats.chisquare(counts).pvalue > 1e-6


@pytest.mark.parametrize("path", PATHS)
def test_long_permutations_are_permutations_in_no_order(path):
    drawn = block(path, "permutation", [1, 2], 0, 2, shape=(5000,))
    assert torch.equal(drawn.sort().values, torch.arange(5000).expand(2, 2, 5000))
    moved = drawn.double().flatten(0, 1)
    position = torch.arange(5000.0, dtype=torch.float64)
    correlations = torch.corrcoef(torch.stack([*moved, position]))
    assert (correlations - torch.eye(5)).abs().max() < 5 / 5000**0.5


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("path", PATHS)
def test_members_streams_and_indices_are_independent(path, kind):
    """Of neighboring seeds, of names, and of consecutive draws: no two rows are correlated, nor their squares."""
    n = 4096
    rows = [block(path, kind, list(range(8)), 0, 3, name=name, shape=(n,)).flatten(0, 1) for name in ("a", "b")]
    for x in (torch.cat(rows).double(), torch.cat(rows).double().square()):
        correlations = torch.corrcoef(x)
        assert (correlations - torch.eye(48)).abs().max() < 5 / n**0.5


# Generators for the code of others.
@pytest.mark.parametrize("seed", [2**32, 2**40 + 7, 2**63 - 1])
def test_large_seeds_fill_the_whole_state(seed):
    """Against numpy's Mersenne Twister with the same 624 words."""
    mine = reseed(torch.Generator(), seed)
    words = np.random.PCG64(seed).random_raw(312).view(np.uint32)
    theirs = np.random.MT19937()
    theirs.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    expected = (theirs.random_raw(2000) & (2**24 - 1)) / 2**24
    assert torch.equal(torch.rand(2000, generator=mine), torch.from_numpy(expected).float())


def test_small_seeds_are_torchs_own():
    for seed in (0, 7, 2**32 - 1):
        ours = torch.rand(9, generator=reseed(torch.Generator(), seed))
        assert torch.equal(ours, torch.rand(9, generator=torch.Generator().manual_seed(seed)))


def test_generators_differ_where_the_last_32_bits_agree():
    first = [torch.randn(3, generator=reseed(torch.Generator(), 5 + k * 2**32)) for k in range(50)]
    assert len(torch.stack(first).unique(dim=0)) == 50
    assert not torch.equal(torch.rand(3, generator=generator(1, "a", 2)), torch.rand(3, generator=generator(1, "a", 3)))


def test_member_seeds_stay_below_the_largest():
    assert member_seeds(2**63 - 2, 2) == [2**63 - 2, 2**63 - 1]
    for seed, members in [(2**63, None), (2**63 - 1, 2), ([2**64], 1)]:
        with pytest.raises(ArgumentError, match=r"^seed: got \d+; it must be a whole number below 2\*\*63$"):
            member_seeds(seed, members)


def test_numbers_that_cannot_be_compiled_are_the_same(monkeypatch):
    """Where a CUDA device has no C compiler beside it."""

    def broken(function, **options):
        def fail(*inputs):
            raise RuntimeError("no C compiler")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    numbers = _compiled_on_cuda.__wrapped__("cuda")
    inputs = torch.tensor([3, 4]), torch.tensor(1), torch.arange(2), torch.arange(3)
    with pytest.warns(RuntimeWarning, match="no C compiler"):
        first = numbers(*inputs)
    assert torch.equal(first, _numbers(*inputs))
    assert torch.equal(numbers(*inputs), first)
