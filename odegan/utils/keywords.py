"""Keyword arguments of public functions: a full signature, and one line for a name that a function does not have."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import ParamSpec, TypeVar, get_type_hints

from odegan.utils.checks import argument_error, choose

P = ParamSpec("P")
R = TypeVar("R")

_RUNS = "odegan.odeint_gan or odegan.Stepper"
_OPTION = "options={{'{}': ...}}"

# What other libraries call it -> what it is here; the first word is a parameter's name.
_ELSEWHERE = {
    **dict.fromkeys(("lr", "learning_rate", "h", "dt"), "step_size"),
    **dict.fromkeys(("lr_d", "lr_g", "d_lr", "g_lr"), "rates, the factors of step_size for D and G"),
    **dict.fromkeys(("method", "optimizer", "optim"), "solver"),
    **dict.fromkeys(("n_steps", "num_steps", "max_steps", "iterations", "n_iter"), "steps"),
    **dict.fromkeys(("epochs", "num_epochs", "max_epochs"), "steps, of which an epoch has len(data) / batch_size"),
    **dict.fromkeys(("dataloader", "dataset", "loader", "train_loader", "train_dataloader"), "data"),
    **dict.fromkeys(("betas", "eps", "alpha", "weight_decay", "disc_steps", "alternating"), _OPTION),
    **dict.fromkeys(("n_critic", "critic_steps"), "options={{'alternating': True, 'disc_steps': ...}}"),
    **dict.fromkeys(("latent_dim", "latent_size", "z_dim", "nz", "noise_dim"), "latent"),
    **dict.fromkeys(("loss_fn", "criterion"), "loss"),
    **dict.fromkeys(("G", "netG", "gen"), "generator"),
    **dict.fromkeys(("D", "netD", "disc", "critic"), "discriminator"),
    **dict.fromkeys(("labels", "targets", "y_train"), "data=(samples, labels)"),
    **dict.fromkeys(("log_dir", "logdir", "save_dir"), "folder"),
    **dict.fromkeys(("callbacks",), "callback"),
    **dict.fromkeys(("ema", "ema_decay"), "callback=odegan.ExponentialAverage(...)"),
    **dict.fromkeys(("grad_clip", "max_norm", "clip_grad_norm"), "clip"),
    **dict.fromkeys(("save_every", "checkpoint_interval"), "checkpoint_every"),
    **dict.fromkeys(("ckpt", "ckpt_path", "checkpoint_path"), "checkpoint"),
    **dict.fromkeys(("penalty", "regularizer"), "penalties, a list"),
    **dict.fromkeys(("lambda_", "lam", "lambda_gp", "gp_weight", "gamma", "coefficient"), "weight"),
    **dict.fromkeys(("beta", "ema_beta"), "decay"),
    **dict.fromkeys(("policy", "augmentations"), "transforms"),
    **dict.fromkeys(("device",), "y0.to(device): a run is where its y0 is"),
    **dict.fromkeys(("num_workers",), "workers"),
}
# Arguments of another function -> of which.
_OF_OTHERS = {
    **dict.fromkeys(("loss", "conditional", "autocast", "channels_last", "checkpointing"), "odegan.gan"),
    **dict.fromkeys(("data", "latent", "batch_size"), "odegan.odeint_gan; a Stepper's step gets each batch"),
    **dict.fromkeys(("steps", "callback", "checkpoint", "progress", "workers"), "odegan.odeint_gan"),
    **dict.fromkeys(("solver", "step_size", "rates", "penalties", "options", "refresh", "clip"), _RUNS),
    **dict.fromkeys(("seed",), "odegan.odeint_gan, game.init or Stepper.init"),
}


def keywords(
    further: type | None = None,
    defaults: Mapping[str, object] | None = None,
    elsewhere: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse unknown keyword arguments in one line, which says what other libraries' names are called here.

    Args:
        further: a ``TypedDict`` of the arguments that the function collects by ``**``; ``inspect.signature``, by which shells
            and notebooks complete names, then shows them, and ``typing.get_type_hints`` has their types.
        defaults: defaults of those arguments, by name.
        elsewhere: what other libraries call this function's own arguments -> what they are here.

    Raises:
        ArgumentError: from the decorated function, for a name that it does not have.

    Examples:
        >>> @keywords()
        ... def run(y, *, step_size): ...
        >>> try:
        ...     run(0, lr=0.1)
        ... except ValueError as error:
        ...     print(error)
        lr: got 0.1; it must be given as step_size
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        signature = _completed(inspect.signature(function), further, defaults or {})
        names = frozenset(signature.parameters)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            if not kwargs.keys() <= names:
                name = next(name for name in kwargs if name not in names)
                title = function.__qualname__.removesuffix(".__init__")
                known = [one for one in signature.parameters if one != "self"]
                _refuse(title, name, kwargs[name], known, _ELSEWHERE | dict(elsewhere or {}))
            return function(*args, **kwargs)

        checked.__signature__ = signature  # type: ignore[attr-defined]
        if further is not None:
            # Evaluated where the collected arguments are declared: the function's module need not know their types.
            own = {name: hint for name, hint in function.__annotations__.items() if name in {*names, "return"}}
            checked.__annotations__ = own | get_type_hints(further)
        return checked

    return decorated


def name_here(name: str, known: Collection[str]) -> str | None:
    """The one of these arguments that a name means, here or in other libraries, with what to write; None if it means none.

    Examples:
        >>> name_here("lr", ["step_size"]), name_here("speed", ["step_size"])
        ('step_size', None)
    """
    here = name if name in known else _ELSEWHERE.get(name, "").format(name)
    return here if _parameter(here) in known else None


def _parameter(hint: str) -> str:
    """The parameter with which a hint starts."""
    return re.split("[=,.]", hint)[0]


def _completed(signature: inspect.Signature, further: type | None, defaults: Mapping[str, object]) -> inspect.Signature:
    """The signature with the collected arguments, one by one, in the place of ``**``."""
    if further is None:
        return signature
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=_text(hint))
        for name, hint in further.__annotations__.items()
        if name not in {one.name for one in own}
    ]
    return signature.replace(parameters=[*own, *more])


def _text(hint: object) -> object:
    """An annotation as its text in the source, the form in which the other parameters have theirs."""
    return getattr(hint, "__forward_arg__", hint)


def _refuse(function: str, name: str, value: object, known: list[str], elsewhere: Mapping[str, str]) -> None:
    """Raise the error that says what to write instead of ``name``."""
    here = elsewhere.get(name, "").format(name)
    parameter = _parameter(here)
    if parameter in known:
        argument_error(name, value, f"given as {here}")
    if parameter in _OF_OTHERS:
        argument_error(name, value, f"given to {_OF_OTHERS[parameter]}, as {here}")
    # A singular for a plural, as ``solver`` of a function that takes ``solvers``, is not meant for another function.
    if name in _OF_OTHERS and not difflib.get_close_matches(name, known, cutoff=0.8):
        argument_error(name, value, f"given to {_OF_OTHERS[name]}")
    choose(function, name, known)
