"""What a mixture is built of: which experts, one a subclass or one for all, and which adaptions before them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from eagleray.adaptation import AdaptionKind

ExpertKind: TypeAlias = Literal["bank", "discriminator"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """One way to build a category's mixture."""

    expert: ExpertKind
    """bank: a coreset of good patches (PatchCore). discriminator: a SimpleNet (Adapted-MoE)."""
    moe: bool
    """One expert a subclass behind a routing network, or one for all subclasses together."""
    adaptions: tuple[AdaptionKind, ...] = ("none",)
    """Each subclass has an expert for each of them; their scores are averaged."""
    norm: bool = False
    """Patches get length 1 before the expert, in training and at test (Adapted-MoE eq. 6)."""
    whitening: bool = True
    """Bank experts compare whitened patches (`eagleray.banks.whitening`)."""
    adapt_training: bool = True
    """The expert's training pictures are adapted too, not only those of the test."""

    @property
    def name(self) -> str:
        """Such as "bank per subclass, adaption mean + subspace"."""
        words = [f"{self.expert} per subclass" if self.moe else f"one {self.expert}"]
        if self.adaptions != ("none",):
            words.append(f"adaption {' + '.join(self.adaptions)}{'' if self.adapt_training else ' at test only'}")
        if self.expert == "bank" and not self.whitening:
            words.append("not whitened")
        if self.norm:
            words.append("unit length")
        return ", ".join(words)


SIMPLENET = Design(expert="discriminator", moe=False)
"""The paper's baseline: one SimpleNet for all subclasses."""
WHITENED_BANK = Design(expert="bank", moe=False)
"""One bank of all subclasses' whitened patches, nothing adapted."""
PLAIN_BANK = Design(expert="bank", moe=False, whitening=False)
"""The same without whitening: PatchCore."""
BANKS = {"bank_plain": PLAIN_BANK, "bank": WHITENED_BANK}
"""Baselines that cost no training."""
CANDIDATES = (
    WHITENED_BANK,
    Design(expert="bank", moe=False, adaptions=("subspace",)),
    Design(expert="bank", moe=False, adaptions=("none", "subspace", "mean")),
    Design(expert="bank", moe=True, adaptions=("none",)),
    Design(expert="bank", moe=True, adaptions=("subspace",)),
)
"""What the preset best chooses from. Adapting the whole mean alone is not among them: it looks better on synthetic
anomalies than it is on real ones, see docs/log.md."""
