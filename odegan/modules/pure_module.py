"""An unmodified ``nn.Module`` as a pure function of one flat tensor of its trainable parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

from odegan.modules.forward import Execution
from odegan.modules.normalization import use_batch_statistics, use_exact_norms
from odegan.utils.checks import ArgumentError, fail

POWER_ITERATIONS_AT_START = 15  # as many as torch's own spectral_norm does when it is applied


class PureModule:
    """``pure(theta, x, buffers)``: the module's forward pass with its trainable parameters read from theta (n,).

    The module itself is never touched. Semantics:

    - parameters stand in ``named_parameters()`` order; those with requires_grad=False are constants; tied ones appear once;
    - batch normalisation uses the statistics of the batch it sees and tracks none;
    - spectral norm's u and v are read from ``buffers`` (or stay as they were) and are iterated only by ``power_iterate``;
    - other buffers are constants; active dropout is refused.

    The structure is kept on the meta device, so only one flat copy of the values takes memory.
    """

    def __init__(self, module: nn.Module, role: str, execution: Execution | None = None) -> None:
        if not isinstance(module, nn.Module):
            fail(role, module, "a torch.nn.Module")
        _refuse(module, role)
        self.role, self.execution = role, execution or Execution()
        trainable = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        if not trainable:
            raise ArgumentError(f"{role}: got no parameter with requires_grad=True; it must have at least one")
        if len({(p.dtype, p.device) for _, p in trainable}) > 1:
            raise ArgumentError(f"{role}: got parameters of several dtypes or devices; they must share one")
        first = {id(p): n for n, p in trainable}
        self.names = [n for n, _ in trainable]
        self.shapes = [p.shape for _, p in trainable]
        self.sizes = [p.numel() for _, p in trainable]
        self.aliases = {n: first[id(p)] for n, p in module.named_parameters(remove_duplicate=False) if id(p) in first}
        self.values = torch.cat([p.detach().reshape(-1) for _, p in trainable]).clone()
        self.template = _structure(module)
        self.skeleton = copy.deepcopy(self.template)
        use_exact_norms(use_batch_statistics(self.skeleton))
        self.spectral = {
            n: m for n, m in self.skeleton.named_modules() if isinstance(m, _SpectralNorm) and hasattr(m, "_u")
        }
        for power in self.spectral.values():
            power.eval()
        self.all_constants = {
            n: t.detach().clone()
            for n, t in [
                *module.named_parameters(remove_duplicate=False),
                *module.named_buffers(remove_duplicate=False),
            ]
            if n not in self.aliases
        }
        kept = {n for n, _ in self.skeleton.named_buffers(remove_duplicate=False)}
        kept |= {n for n, p in self.skeleton.named_parameters(remove_duplicate=False)}
        self._constants = {n: t for n, t in self.all_constants.items() if n in kept}
        self._cast: dict[Any, dict[str, torch.Tensor]] = {}

    @property
    def n(self) -> int:
        """The number of trainable parameters."""
        return sum(self.sizes)

    def __call__(
        self, theta: torch.Tensor, x: torch.Tensor, buffers: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """The module's output on x with parameters theta (n,)."""
        return self.bind(theta, buffers)(x)

    def bind(
        self, theta: torch.Tensor, buffers: dict[str, torch.Tensor] | None = None
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """The module as a function of its input alone, for several passes with one theta (n,)."""
        state = self.unflatten(theta)
        if self._constants:
            state |= self.constants(theta.device, theta.dtype)
        if buffers:
            state |= {n: buffers[self._key(n)] for n in self._moving()}
        return lambda x: self.execution(self.skeleton, state, x)

    def unflatten(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """theta (n,) -> every trainable parameter under every name it has; views."""
        pieces = theta.split(self.sizes)
        own = {n: piece.view(s) for n, piece, s in zip(self.names, pieces, self.shapes, strict=True)}
        return {alias: own[n] for alias, n in self.aliases.items()}

    def constants(self, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """Frozen parameters and buffers, on that device; floating ones in that dtype."""
        if (device, dtype) not in self._cast:
            self._cast[device, dtype] = {
                n: t.to(device, dtype if t.is_floating_point() else t.dtype) for n, t in self._constants.items()
            }
        return self._cast[device, dtype]

    def initial_buffers(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """Spectral norm's u and v, converged for theta from the module's own; {} without spectral norm."""
        constants = self.constants(theta.device, theta.dtype)
        start = {self._key(n): constants[n].clone() for n in self._moving()}
        return self.power_iterate(start, theta, POWER_ITERATIONS_AT_START) if start else {}

    @torch.no_grad()
    def power_iterate(
        self, buffers: dict[str, torch.Tensor], theta: torch.Tensor, times: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Spectral norm's u <- W v / |W v|, v <- W^T u / |W^T u|, ``times`` times (default: as each layer says)."""
        parameters = self.unflatten(theta) | self.constants(theta.device, theta.dtype)
        moved: dict[str, torch.Tensor] = {}
        for name, power in self.spectral.items():
            weight = power._reshape_weight_to_matrix(parameters[_original(name)])
            u, v = (buffers[self._key(f"{name}.{part}")] for part in ("_u", "_v"))
            for _ in range(times or power.n_power_iterations):
                u = nn.functional.normalize(weight @ v, dim=0, eps=power.eps)
                v = nn.functional.normalize(weight.T @ u, dim=0, eps=power.eps)
            moved |= {self._key(f"{name}._u"): u, self._key(f"{name}._v"): v}
        return moved

    def fresh(self, init: Callable[[nn.Module], Any] | None = None) -> torch.Tensor:
        """Flat parameters (n,) of a fresh initialisation, drawn from torch's global generator (the caller forks it);
        ``init`` is applied to every submodule after its own reset.
        """
        module = _filled(self.template, self.unflatten(self.values.cpu()) | _on_cpu(self.all_constants))
        module.apply(lambda part: _reset(part, self.role))
        if init is not None:
            module.apply(init)
        drawn = dict(module.named_parameters(remove_duplicate=False))
        return torch.cat([drawn[n].detach().reshape(-1) for n in self.names]).to(self.values)

    def module(self, theta: torch.Tensor) -> nn.Module:
        """A new module like the original with parameters theta; spectral norm's u and v are converged for them."""
        dtype, device = theta.dtype, theta.device
        constants = {
            n: t.to(device, dtype if t.is_floating_point() else t.dtype) for n, t in self.all_constants.items()
        }
        moved = {n.partition("/")[2]: t for n, t in self.initial_buffers(theta).items()}
        return _filled(self.template, self.unflatten(theta.detach()) | constants | moved)

    def _moving(self) -> list[str]:
        return [f"{n}.{part}" for n in self.spectral for part in ("_u", "_v")]

    def _key(self, name: str) -> str:
        return f"{self.role}/{name}"


def _original(spectral_name: str) -> str:
    """'conv.parametrizations.weight.0' -> 'conv.parametrizations.weight.original'."""
    return spectral_name.rpartition(".")[0] + ".original"


def _refuse(module: nn.Module, role: str) -> None:
    """Refuse modules that cannot be a pure function of their parameters, each with its remedy."""
    for name, part in module.named_modules():
        where = f"{role}: got {type(part).__name__} at {name or 'the top'!r}; "
        hooks = {type(h).__name__ for h in part._forward_pre_hooks.values()}
        if hooks & {"SpectralNorm", "WeightNorm"}:
            raise ArgumentError(where + "it must use torch.nn.utils.parametrizations, not the old hook-based norm")
        if isinstance(part, _DropoutNd) and part.p > 0 and part.training:
            raise ArgumentError(
                where + "it must not draw random numbers inside the field; set p=0, call .eval() on it, or remove it"
            )
        if any(is_lazy(p) for p in part.parameters(recurse=False)):
            raise ArgumentError(where + "it must be initialised: run one forward pass first")
        if isinstance(part, _SpectralNorm) and not name.endswith(".0"):
            raise ArgumentError(where + "spectral norm must be the first parametrization of its weight")


def _structure(module: nn.Module) -> nn.Module:
    """A deep copy whose parameters and buffers are on the meta device; ties between them survive."""
    memo: dict[int, Any] = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        hollow: torch.Tensor = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(hollow, tensor.requires_grad) if is_parameter else hollow
    return copy.deepcopy(module, memo)


def _filled(template: nn.Module, values: dict[str, torch.Tensor]) -> nn.Module:
    """A deep copy of a meta template whose parameters and buffers hold copies of ``values``."""
    memo: dict[int, Any] = {}
    named = [*template.named_parameters(remove_duplicate=False), *template.named_buffers(remove_duplicate=False)]
    for name, hollow in named:
        if id(hollow) not in memo:
            value = values[name].detach().clone()
            is_parameter = isinstance(hollow, nn.Parameter)
            memo[id(hollow)] = nn.Parameter(value, hollow.requires_grad) if is_parameter else value
    return copy.deepcopy(template, memo)


def _on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: t.cpu() for n, t in tensors.items()}


def _reset(part: Any, role: str) -> None:
    """Re-draw the parameters that ``part`` itself owns, as its constructor would."""
    if parametrize.is_parametrized(part):
        _reset_parametrized(part, role)
    elif hasattr(part, "reset_parameters"):
        part.reset_parameters()
    elif hasattr(part, "_reset_parameters"):
        part._reset_parameters()
    elif any(p.requires_grad for p in part.parameters(recurse=False)) and not isinstance(
        part, parametrize.ParametrizationList
    ):
        raise ArgumentError(
            f"init: {role} holds a {type(part).__name__} with parameters and no reset_parameters(); "
            "give it one, or pass y0 yourself"
        )


def _reset_parametrized(part: Any, role: str) -> None:
    """Re-draw through the parametrization: resetting ``part.weight`` in place would change a temporary only.

    The plain layer is put together by hand: torch's remove_parametrizations also takes the attribute from the class,
    which copies share with the user's own module.
    """
    plain, names = copy.deepcopy(part), list(part.parametrizations)
    plain.__class__ = type(part).__bases__[0]
    del plain.parametrizations
    for name in names:
        plain.register_parameter(name, nn.Parameter(getattr(part, name).detach().clone()))
    _reset(plain, role)
    kept = {n: b.clone() for n, b in part.parametrizations.named_buffers()}
    with torch.no_grad():
        for name in names:
            setattr(part, name, getattr(plain, name).detach())
        if any(not torch.equal(b, kept[n]) for n, b in part.parametrizations.named_buffers()):
            raise ArgumentError(
                f"init: {role} holds a {type(part).__name__} whose parametrization keeps its value in a buffer, not in its "
                "parameters; pass y0 yourself"
            )
        own = dict(plain.named_parameters(recurse=False))
        for name, parameter in part.named_parameters(recurse=False):
            parameter.copy_(own[name])
