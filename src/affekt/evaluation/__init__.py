"""Scores, their uncertainty, and what a comparison leaves behind. Nothing here needs torch."""

from __future__ import annotations

from affekt.evaluation.results import Prediction, Results
from affekt.evaluation.scores import Scores, headline, score, score_table
from affekt.evaluation.statistics import Interval, bootstrap_interval, paired_difference, verdict_words

__all__ = [
    "Interval",
    "Prediction",
    "Results",
    "Scores",
    "bootstrap_interval",
    "headline",
    "paired_difference",
    "score",
    "score_table",
    "verdict_words",
]
