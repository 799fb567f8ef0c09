"""Learning and judging mixtures of adapted experts, category by category (Lei et al. 2024, Adapted-MoE)."""

from eagleray.adapted_moe.config import MixtureConfig
from eagleray.adapted_moe.dataset import CategoryPatches, TestImage, embed_category, with_subclasses
from eagleray.adapted_moe.evaluation import FIGURES, SubclassFigures, headline, image_scores
from eagleray.adapted_moe.evidence import Evidence, weigh
from eagleray.adapted_moe.learn import first_manifest, keep
from eagleray.adapted_moe.outcome import outcome
from eagleray.adapted_moe.study import ABLATION, Study, StudyConfig, paper_design, routing_accuracy
from eagleray.adapted_moe.trainers import LocalTrainer, RouterTask, Trainer, chosen_patches
from eagleray.adapted_moe.workshop import Built, Loss, Workshop

__all__ = [
    "ABLATION",
    "FIGURES",
    "Built",
    "CategoryPatches",
    "Evidence",
    "LocalTrainer",
    "Loss",
    "MixtureConfig",
    "RouterTask",
    "Study",
    "StudyConfig",
    "SubclassFigures",
    "TestImage",
    "Trainer",
    "Workshop",
    "chosen_patches",
    "embed_category",
    "first_manifest",
    "headline",
    "image_scores",
    "keep",
    "outcome",
    "paper_design",
    "routing_accuracy",
    "weigh",
    "with_subclasses",
]
