"""Check a module by running it before a run starts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from odegan.modules.exact import Function, Recorder
from odegan.modules.forward import Network, State
from odegan.modules.observed import Attributes, DrawsRandomNumbers, Key, RunningSubmodule, forked
from odegan.modules.pure_module import PureModule
from odegan.utils.ambient import no_saved_tensor_hooks
from odegan.utils.checks import ArgumentError, one_line
from odegan.utils.purity import equal

What = Literal["latents", "samples"]
# What torch or a user's forward pass may raise for unsuitable inputs.
RAISED = (RuntimeError, IndexError, ValueError, TypeError, KeyError, AttributeError, AssertionError)
# Fragments of torch's messages, and what they mean here.
MEANINGS = {
    "device meta": "it reads a parameter or buffer under another name than its own, as from a list, a closure, or a call of "
    "checkpoint() in its forward pass; gan(checkpointing=True) does what the last does",
    "torch.utils.checkpoint": "it calls checkpoint() in its forward pass; gan(checkpointing=True) does the same",
    "yet support saved tensor hooks": "torch.func takes no saved-tensor hooks, neither of a context around the call, "
    "nor of checkpoint() in a forward pass, for which there is gan(checkpointing=True)",
    "saved tensor hooks": "it calls checkpoint() in its forward pass; gan(checkpointing=True) does the same",
    "setup_context": "an autograd.Function of its own needs a setup_context() and a vmap rule (generate_vmap_rule = True); "
    "a module's backward hook is one without",
    "data-dependent control flow": "it branches on its numbers, or calls .item(); use torch.where",
    "inplace arithmetic": "it writes into a tensor that it made itself; use torch.stack or torch.cat",
    "dynamic shape": "it indexes with a mask; use torch.where",
}
_TRIES = 3  # passes that must all move a global generator: another thread may draw during one of them
SAME = 1e-3  # largest relative difference of two passes, since some kernels add in no fixed order


class _DrawsError(ArgumentError):
    """A module that draws random numbers, or another thread that does."""


class CannotTakeError(ArgumentError):
    """A module that fails on its input, "latents" or "samples"."""

    def __init__(self, what: What, message: str) -> None:
        super().__init__(message)
        self.what = what


class Trial(NamedTuple):
    """The findings of a trial run of a module.

    Attributes:
        output: output of the forward pass.
        replaced: the functions in ``exact.REPLACED`` that it calls.
        batch_statistics: whether it calls a function that normalizes with batch statistics.
        sigmoid: whether its output is that of a sigmoid.
        written: the attributes that it writes, with their previous values.
    """

    output: torch.Tensor
    replaced: frozenset[Function]
    batch_statistics: bool
    sigmoid: bool
    written: dict[Key, object]


def tried(module: PureModule, theta: torch.Tensor, x: torch.Tensor, what: What, *label: torch.Tensor) -> Trial:
    """Run the module on x, and refuse it if its output is not a function of theta and x or if it has other side effects.

    Args:
        module: the module.
        theta: (n,).
        x: (B, ...).
        what: the kind of x, "latents" or "samples", for messages.
        label: (B,), for a class-conditional module.

    Raises:
        ArgumentError: the module does not accept x, draws random numbers, writes to a parameter, a buffer, its input or an
            attribute that it reads later, does not return one tensor, or uses parameters that are not its own.
    """
    theta = theta.detach()
    x = x.detach()
    # With torch's own functions: a trial finds out which ones need a replacement.
    network = module.plain_network(theta)
    # Clones, so that a forward pass that writes to its parameters is found out without damage.
    state = {name: tensor.clone() for name, tensor in module.state(theta).items()}
    before = {name: tensor.clone() for name, tensor in state.items()}
    given = x.clone()
    own = Attributes(network.module)
    try:
        # Grad mode on: whether the output depends on a foreign parameter shows in its requires_grad.
        with forked(x), torch.enable_grad(), _without_checkpoint(), Recorder() as recorder:
            try:
                output = _run(module.role, network, state, (x, *label), what)
            except CannotTakeError:
                _check_statistics(module, theta, (x, *label), None)
                raise
            _check_output(module.role, output)
            _check_unchanged(module.role, before, state, given, x)
            written = _writable(module.role, own.changed(), network)
            again = _poisoned(module.role, network, state, (x, *label), written)
            _check_statistics(module, theta, (x, *label), output)
    finally:
        own.put_back()
    if not close(output, again):
        raise ArgumentError(
            f"{module.role}: two forward passes of one input differ; it must be a function of its input"
        )
    past = {key: own.past(key) for key in written}
    return Trial(output, frozenset(recorder.replaced), recorder.batch_statistics, recorder.is_sigmoid(output), past)


@contextmanager
def _without_checkpoint() -> Iterator[None]:
    """A context in which ``torch.utils.checkpoint`` raises, as it does under torch.func."""
    with no_saved_tensor_hooks(), torch.autograd.graph.disable_saved_tensors_hooks("saved tensor hooks"):
        yield


def close(a: torch.Tensor, b: torch.Tensor, relative: float = SAME, least: float = 0.0) -> bool:
    """Whether max |a - b| <= relative * max(|b|, least), where nan equals nan."""
    if a.shape != b.shape or not a.numel():
        return a.shape == b.shape
    rounding = 4 * torch.finfo(b.dtype).eps if b.is_floating_point() else 0.0  # of bf16 more than SAME
    a, b = (torch.nan_to_num(tensor.detach().double()) for tensor in (a, b))
    # In place, because both are copies, and one of a gradient in float64 is as large as two states of a run.
    return bool(a.sub_(b).abs_().max() <= max(relative, rounding) * b.abs_().max().clamp(min=least))


def reason(error: Exception) -> str:
    """What a torch error means for a module, in one line."""
    said = " ".join(str(error).split())
    return next((text for part, text in MEANINGS.items() if part in said), one_line(error) or type(error).__name__)


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """A context in which torch's errors become an ``ArgumentError`` that begins with ``what``."""
    try:
        yield
    except ArgumentError:
        raise
    except RAISED as error:
        raise ArgumentError(f"{what} ({reason(error)})") from error


def _run(role: str, network: Network, state: State, inputs: tuple[torch.Tensor, ...], what: What) -> torch.Tensor:
    for _ in range(_TRIES - 1):
        with suppress(_DrawsError):
            return _run_once(role, network, state, inputs, what)
    return _run_once(role, network, state, inputs, what)


def _run_once(role: str, network: Network, state: State, inputs: tuple[torch.Tensor, ...], what: What) -> torch.Tensor:
    x, *label = inputs
    with RunningSubmodule(network.module, x) as running:
        try:
            return network(state, *inputs)
        except DrawsRandomNumbers:
            raise _DrawsError(
                f"{role}: its {running.place} draws random numbers; it must be a function of its input: put randomness into "
                "the latents, or call .eval() on it"
            ) from None
        except ArgumentError:
            raise
        except RAISED as error:
            got = f"{tuple(x.shape)}, {str(x.dtype).removeprefix('torch.')}"
            if label:
                got += f" with labels from {int(label[0].min())} to {int(label[0].max())}"
            known = {
                "latents": f"latent: got {got}; it must be what the {role} takes",
                "samples": f"{role}: got samples {got}; it must be a module that takes them",
            }
            raise CannotTakeError(what, f"{known[what]}; its {running.place} does not ({reason(error)})") from error


@torch.no_grad()
def _check_statistics(
    module: PureModule, theta: torch.Tensor, inputs: tuple[torch.Tensor, ...], output: torch.Tensor | None
) -> None:
    """Refuse a module that gives something else itself, with its norms' running statistics: not ``output``, or anything where
    that is None.
    """
    # Of all other modules the network is a copy.
    if not module.untracked:
        return
    try:
        own = module.plain_module(theta)(*inputs)
    except RAISED:
        return
    if output is None or not close(own, output):
        raise ArgumentError(
            f"{module.role}: its forward pass reads running statistics of a normalization layer in train mode, which the field "
            "does not have; call .eval() on that layer, or use a layer of torch.nn"
        )


def _check_output(role: str, output: object) -> None:
    if not isinstance(output, torch.Tensor):
        raise ArgumentError(
            f"{role}: got a {type(output).__name__} from its forward pass; it must be a module that returns one tensor"
        )
    if output.requires_grad:
        raise ArgumentError(
            f"{role}: its forward pass uses a trainable tensor that is not among its named_parameters(); it must be registered "
            "(nn.Parameter, nn.ModuleList) or detached"
        )
    if not output.is_floating_point():
        raise ArgumentError(
            f"{role}: got {output.dtype} from its forward pass; it must return real floating-point numbers"
        )


def _check_unchanged(role: str, before: State, state: State, given: torch.Tensor, x: torch.Tensor) -> None:
    for name, tensor in state.items():
        if not equal(before[name], tensor):
            raise ArgumentError(
                f"{role}: its forward pass writes to {name!r}; it must not: use a layer of torch.nn that does the same, or "
                "compute it from the input alone"
            )
    if not equal(given, x):
        x.copy_(given)
        raise ArgumentError(
            f"{role}: its forward pass writes to its input; it must not: give its first layer inplace=False"
        )


def _writable(role: str, changed: list[Key], network: Network) -> list[Key]:
    """The attributes that a pass changed, refused unless they consist of floating-point tensors."""
    for path, name in changed:
        leaves = tree_leaves(getattr(network.module.get_submodule(path), name))
        if not all(isinstance(leaf, torch.Tensor) and leaf.is_floating_point() for leaf in leaves):
            raise ArgumentError(
                f"{role}: its forward pass writes to the attribute {name!r} of {path or 'the top'!r}; it must not: compute it "
                "outside, or from the input alone"
            )
    return changed


def _poisoned(
    role: str, network: Network, state: State, inputs: tuple[torch.Tensor, ...], written: list[Key]
) -> torch.Tensor:
    """The output of a second pass, with NaN in the attributes that the first one wrote: it is NaN if the pass reads them."""
    for path, name in written:
        part = network.module.get_submodule(path)
        setattr(part, name, tree_map_only(torch.Tensor, lambda t: torch.full_like(t, math.nan), getattr(part, name)))
    again = network(state, *inputs)
    if written and again.isnan().any():
        path, name = written[0]
        raise ArgumentError(
            f"{role}: its forward pass reads the attribute {name!r} of {path or 'the top'!r}, which an earlier pass wrote; it "
            "must be a function of its input"
        )
    return again
