"""Scores of generated samples: mode recovery for mixtures, distances of distributions, FID and coverage in feature space.

scikit-learn (``pip install 'odegan[experiments]'``) is imported where it is needed.
"""

from odegan.metrics.coverage import Coverage, coverage
from odegan.metrics.evaluation import scores
from odegan.metrics.features import extract_features
from odegan.metrics.frechet import Moments, fid, frechet_distance, moments
from odegan.metrics.inception import inception
from odegan.metrics.inception_score import inception_score
from odegan.metrics.kid import kid, polynomial_mmd
from odegan.metrics.mixture import MixtureScores, mixture_scores
from odegan.metrics.mmd import energy_distance, mmd, wasserstein2
from odegan.metrics.precision_recall import PrecisionRecall, precision_recall

__all__ = [
    "Coverage",
    "MixtureScores",
    "Moments",
    "PrecisionRecall",
    "coverage",
    "energy_distance",
    "extract_features",
    "fid",
    "frechet_distance",
    "inception",
    "inception_score",
    "kid",
    "mixture_scores",
    "mmd",
    "moments",
    "polynomial_mmd",
    "precision_recall",
    "scores",
    "wasserstein2",
]


def __dir__() -> list[str]:
    return __all__
