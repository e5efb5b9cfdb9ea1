"""Games whose field, flow or equilibrium is known in closed form; they take batch=None."""

from odegan.games.dirac import dirac
from odegan.games.gaussian import gaussian
from odegan.games.gmm_tv import gmm_tv
from odegan.games.linear import bilinear, quadratic

__all__ = ["bilinear", "dirac", "gaussian", "gmm_tv", "quadratic"]
