"""Mixtures of adapted experts for one category with subclasses (Lei et al. 2024, Adapted-MoE)."""

from eagleray.mixture.design import BANKS, CANDIDATES, PLAIN_BANK, SIMPLENET, WHITENED_BANK, Design, ExpertKind
from eagleray.mixture.mixture import MIXTURE_KIND, Mixture, MixtureHead, aggregate, top_weights
from eagleray.mixture.subclasses import find_subclasses
from eagleray.mixture.work import (
    BankTask,
    RateTask,
    ScoreTask,
    fit_bank,
    measure_rates,
    pictures,
    route_images,
    routing_embeddings,
    score_images,
    statistics,
)

__all__ = [
    "BANKS",
    "CANDIDATES",
    "MIXTURE_KIND",
    "PLAIN_BANK",
    "SIMPLENET",
    "WHITENED_BANK",
    "BankTask",
    "Design",
    "ExpertKind",
    "Mixture",
    "MixtureHead",
    "RateTask",
    "ScoreTask",
    "aggregate",
    "find_subclasses",
    "fit_bank",
    "measure_rates",
    "pictures",
    "route_images",
    "routing_embeddings",
    "score_images",
    "statistics",
    "top_weights",
]
