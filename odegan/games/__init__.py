"""Games: ``Game``, the objectives, the game of two modules, and games whose field is known in closed form."""

from odegan.games.closed_form.dirac import dirac
from odegan.games.closed_form.gaussian import gaussian
from odegan.games.closed_form.gmm_tv import gmm_tv
from odegan.games.closed_form.linear import bilinear, quadratic

__all__ = ["bilinear", "dirac", "gaussian", "gmm_tv", "quadratic"]


def __dir__() -> list[str]:
    return __all__
