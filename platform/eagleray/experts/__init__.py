"""Experts: what scores the patches of a picture, and how a picture's score follows."""

from eagleray.experts.bank_expert import BankExpert
from eagleray.experts.discriminator import DiscriminatorExpert
from eagleray.experts.expert import Expert
from eagleray.experts.heatmap import overlay
from eagleray.experts.scoring import ScoringConfig, image_score

__all__ = ["BankExpert", "DiscriminatorExpert", "Expert", "ScoringConfig", "image_score", "overlay"]
