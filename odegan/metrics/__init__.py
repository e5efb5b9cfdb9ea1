"""Scores of generated samples: mode recovery for mixtures, FID and coverage in the features of a network.

scikit-learn and torchmetrics (``pip install 'odegan[experiments]'``) are imported where they are needed.
"""

from odegan.metrics.coverage import Coverage, coverage
from odegan.metrics.digits import DigitClassifier, load_digits, train_classifier
from odegan.metrics.frechet import extract_features, fid
from odegan.metrics.mixture import MixtureScores, mixture_scores

__all__ = [
    "Coverage",
    "DigitClassifier",
    "MixtureScores",
    "coverage",
    "extract_features",
    "fid",
    "load_digits",
    "mixture_scores",
    "train_classifier",
]
