"""An unmodified ``nn.Module`` as a pure function of one flat tensor of its trainable parameters."""

from __future__ import annotations

from collections.abc import Mapping
from threading import get_ident

import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from odegan.modules import features_first, views
from odegan.modules.exact import UNSEEN, Function
from odegan.modules.forward import Execution, Forward, Network, State, Written
from odegan.modules.normalization import seen_by_compilers
from odegan.modules.refused import refuse
from odegan.modules.reset import Initialize, redraw
from odegan.modules.running_statistics import tracking_norms, use_batch_statistics
from odegan.modules.structure import filled, held_tensors, holding, hollow, named_tensors
from odegan.utils.checks import ArgumentError

POWER_ITERATIONS_AT_START = 30  # twice the 15 with which torch's own spectral_norm starts, from random vectors


class PureModule:
    """``pure(theta, x, buffers)``: the module's forward pass with its trainable parameters read from theta (n,).

    The module itself is never changed. Semantics:

    - parameters are in ``named_parameters()`` order; those with requires_grad=False are constants; tied ones appear once;
    - a batch norm in train mode uses batch statistics and tracks none; one in eval mode uses its running statistics, which are
      constants;
    - spectral norm's u and v are read from ``buffers`` and are constants under differentiation; without buffers they are
      converged for theta;
    - other buffers, and tensors held as attributes, are constants; active dropout is refused.

    The module's structure is kept on the meta device, so that memory holds only one flat copy of the values.

    Attributes:
        untracked: whether the module has norms in train mode that keep running statistics, which the field does not.
        replaced: the functions in ``exact.REPLACED`` that the forward pass calls; None: not known yet.
        written: attributes, such as stored features, that the forward pass writes before it reads them.

    Args:
        module: unmodified.
        role: name of the module in messages, "generator" or "discriminator".
        execution: options of its forward pass.

    Raises:
        ArgumentError: the module has a layer that is no function of its input, or no trainable parameter.

    Examples:
        >>> linear = nn.Linear(2, 1)
        >>> pure = PureModule(linear, "discriminator")
        >>> x = torch.ones(3, 2)
        >>> torch.equal(pure(pure.values, x), linear(x))
        True
    """

    def __init__(self, module: nn.Module, role: str, execution: Execution | None = None) -> None:
        refuse(module, role)
        self.role = role
        self.execution = execution or Execution()
        trainable = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        _check_parameters(trainable, role)
        first = {id(p): n for n, p in trainable}
        self.names = [n for n, _ in trainable]
        self.shapes = [p.shape for _, p in trainable]
        self.sizes = [p.numel() for _, p in trainable]
        self.aliases = {n: first[id(t)] for n, t in named_tensors(module).items() if id(t) in first}
        # A copy: training the user's module meanwhile must not change what ``init`` returns.
        self.values = torch.cat([p.detach().reshape(-1) for _, p in trainable]).clone()
        self.template = hollow(module, role)
        self.untracked = bool(tracking_norms(module))
        self.skeleton = seen_by_compilers(use_batch_statistics(hollow(module, role)))
        named = {m: n for n, m in self.skeleton.named_modules()}
        # Once, here: no compiler has to trace it.
        self._thin = features_first.applies(self.skeleton)
        self.spectral = {n: m for m, n in named.items() if isinstance(m, _SpectralNorm) and hasattr(m, "_u")}
        for power in self.spectral.values():
            # In eval mode torch's spectral norm uses its u and v as they are; power iterations happen between steps.
            power.eval()
        self.all_constants = {n: t.detach().clone() for n, t in named_tensors(module).items() if n not in self.aliases}
        kept = named_tensors(self.skeleton)
        self._constants = {n: t for n, t in self.all_constants.items() if n in kept}
        self._cast: dict[tuple[torch.device, torch.dtype], State] = {}
        self._skeletons: dict[tuple[int, torch.device, torch.dtype], nn.Module] = {}
        self._ties = {alias: name for alias, name in self.aliases.items() if alias != name}
        self._networks: dict[tuple[int, torch.device, torch.dtype], Network] = {}
        self.replaced: frozenset[Function] | None = None
        self.written: dict[tuple[str, str], object] = {}

    @property
    def n(self) -> int:
        """The number of trainable parameters."""
        return sum(self.sizes)

    def __call__(
        self, theta: torch.Tensor, x: torch.Tensor, buffers: Mapping[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """The module's output on x with parameters theta (n,)."""
        return self.bind(theta, buffers)(x)

    def bind(self, theta: torch.Tensor, buffers: Mapping[str, torch.Tensor] | None = None) -> Forward:
        """The module as a function of its input alone, for several passes with the same theta (n,)."""
        # A pass sets the parameters in the network, so that each thread has its own.
        key = (0 if torch.compiler.is_compiling() else get_ident(), theta.device, theta.dtype)
        if key not in self._networks:
            self._networks[key] = self.network(theta)
        # Most networks: without a copy of the dictionary at each evaluation.
        simple = not self._constants and not self.spectral
        state = self.unflatten(theta) if simple else self.state(theta, buffers)
        return self.execution.bind(self._networks[key], state)

    def learned(self, replaced: frozenset[Function], written: dict[tuple[str, str], object]) -> None:
        """Store the findings of a trial of the forward pass; see the attributes."""
        self.replaced = replaced
        self.written = written
        self._networks = {}  # a new one: copies of this object share the old

    def network(self, theta: torch.Tensor) -> Network:
        """The executable network on theta's device and in its dtype."""
        skeleton = self._placed(theta.device, theta.dtype)
        written = (Written(skeleton.get_submodule(path), name, value) for (path, name), value in self.written.items())
        exact = self.replaced is None or bool(self.replaced)
        unseen = not UNSEEN.isdisjoint(self.replaced or ())
        return Network(skeleton, exact, tuple(written), self._thin, unseen)

    def plain_network(self, theta: torch.Tensor) -> Network:
        """``network`` with torch's own functions, and without restoring the attributes that it writes."""
        return Network(self._placed(theta.device, theta.dtype))

    def state(self, theta: torch.Tensor, buffers: Mapping[str, torch.Tensor] | None = None) -> State:
        """Every parameter and buffer by name, with the trainable ones taken from theta (n,)."""
        state = self.unflatten(theta)
        if self._constants:
            state |= self.constants(theta.device, theta.dtype)
        if self.spectral:
            # The buffers of a batch may be those of the other network alone.
            known = buffers is not None and self._key(self._moving()[0]) in buffers
            moving = buffers if known and buffers is not None else self.initial_buffers(theta)
            state |= {n: moving[self._key(n)] for n in self._moving()}
        return state

    def unflatten(self, theta: torch.Tensor) -> State:
        """theta (n,) -> every trainable parameter under all of its names, as views."""
        parts = views.pieces(theta, self.sizes, views.on_accelerator(theta.device))
        # Every evaluation comes through here: map and zip call no Python for each parameter.
        own = dict(zip(self.names, map(torch.Tensor.view, parts, self.shapes), strict=True))
        return own | {alias: own[n] for alias, n in self._ties.items()} if self._ties else own

    def constants(self, device: torch.device, dtype: torch.dtype) -> State:
        """Frozen parameters and buffers on the device, floating-point ones in the dtype."""
        if (device, dtype) not in self._cast:
            self._cast[device, dtype] = {n: _moved(t, device, dtype) for n, t in self._constants.items()}
        return self._cast[device, dtype]

    def _placed(self, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """The skeleton, with tensors held as attributes moved to the device and dtype.

        Every thread has one of its own, since a forward pass sets the parameters in it.
        """
        key = (0 if torch.compiler.is_compiling() else get_ident(), device, dtype)
        if key not in self._skeletons:
            alone = not key[0] and not held_tensors(self.skeleton)
            self._skeletons[key] = (
                self.skeleton if alone else holding(self.skeleton, lambda t: _moved(t, device, dtype))
            )
        return self._skeletons[key]

    # Spectral norm.
    def initial_buffers(self, theta: torch.Tensor) -> State:
        """Spectral norm's u and v, converged for theta, starting from the module's own; {} without spectral norm."""
        constants = self.constants(theta.device, theta.dtype)
        start = {self._key(n): constants[n] for n in self._moving()}
        return self.power_iterate(start, theta, POWER_ITERATIONS_AT_START) if start else {}

    @torch.no_grad()
    def power_iterate(
        self, buffers: Mapping[str, torch.Tensor], theta: torch.Tensor, times: int | None = None
    ) -> State:
        """Spectral norm's u <- W v / |W v|, v <- W^T u / |W^T u|, ``times`` times (default: each layer's own number)."""
        theta = theta.detach()  # no_grad does not stop forward-mode derivatives
        parameters = self.unflatten(theta) | self.constants(theta.device, theta.dtype)
        moved: State = {}
        for name, power in self.spectral.items():
            weight = power._reshape_weight_to_matrix(parameters[_original(name)])
            u = buffers[self._key(f"{name}._u")]
            v = buffers[self._key(f"{name}._v")]
            for _ in range(times or power.n_power_iterations):
                u = nn.functional.normalize(weight @ v, dim=0, eps=power.eps)
                v = nn.functional.normalize(weight.T @ u, dim=0, eps=power.eps)
            moved |= {self._key(f"{name}._u"): u, self._key(f"{name}._v"): v}
        return moved

    @property
    def fixed(self) -> State:
        """The constants that decide what the module computes: neither spectral norm's u and v, which belong to a run's state,
        nor running statistics that no pass reads.
        """
        return {n: t for n, t in self._constants.items() if n not in self._moving()}

    @property
    def moving(self) -> dict[str, str]:
        """The module's own names of spectral norm's u and v -> their keys in ``buffers``."""
        return {name: self._key(name) for name in self._moving()}

    def _moving(self) -> list[str]:
        return [f"{n}.{part}" for n in self.spectral for part in ("_u", "_v")]

    def _key(self, name: str) -> str:
        return f"{self.role}/{name}"

    # Modules.
    def fresh(self, init: Initialize | None = None) -> torch.Tensor:
        """Flat parameters (n,) of a fresh initialization, drawn from torch's global generator, which the caller forks.

        ``init`` is applied to every submodule after its own reset.
        """
        constants = {n: t.cpu() for n, t in self.all_constants.items()}
        module = filled(self.template, self.unflatten(self.values.cpu()) | constants)
        redraw(module, self.role, init)
        drawn = dict(module.named_parameters(remove_duplicate=False))
        return torch.cat([drawn[n].detach().reshape(-1) for n in self.names]).to(self.values)

    def module(self, theta: torch.Tensor) -> nn.Module:
        """A new module like the original, with parameters theta and with spectral norm's u and v converged for them."""
        constants = {n: _moved(t, theta.device, theta.dtype) for n, t in self.all_constants.items()}
        moved = {n.partition("/")[2]: t for n, t in self.initial_buffers(theta).items()}
        made = filled(self.template, self.unflatten(theta.detach()) | constants | moved)
        return holding(made, lambda t: _moved(t, theta.device, theta.dtype)) if held_tensors(made) else made

    def plain_module(self, theta: torch.Tensor) -> nn.Module:
        """``module(theta)``, whose spectral norms make no power iterations."""
        made = self.module(theta)
        for name in self.spectral:
            made.get_submodule(name).eval()
        return made


def _check_parameters(trainable: list[tuple[str, nn.Parameter]], role: str) -> None:
    if not trainable:
        raise ArgumentError(f"{role}: got no parameter with requires_grad=True; it must have at least one")
    if len({(p.dtype, p.device) for _, p in trainable}) > 1:
        raise ArgumentError(f"{role}: got parameters of several dtypes or devices; they must share one")


def _moved(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)


def _original(spectral_name: str) -> str:
    """The name of a parametrization's original: 'conv.parametrizations.weight.0' -> 'conv.parametrizations.weight.original'."""
    return spectral_name.rpartition(".")[0] + ".original"
