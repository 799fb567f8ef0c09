"""3D-ADNAS from pictures to a model: trials, what they share, what is told of them.

The algorithm is `eagleray.fusion`.
"""

from eagleray.adnas.model import FusionModel, FusionSettings, Product, keep_model, load_model
from eagleray.adnas.outcome import closing, image_scores
from eagleray.adnas.pictures import CategoryPictures, common_scale, load_category
from eagleray.adnas.session import FusionJudge, FusionSession
from eagleray.adnas.study import Study, StudyConfig
from eagleray.adnas.trials import (
    Material,
    ReconstructRun,
    ReconstructSpec,
    SearchSpec,
    Spec,
    TrainSpec,
    score_test,
)

__all__ = [
    "CategoryPictures",
    "FusionJudge",
    "FusionModel",
    "FusionSession",
    "FusionSettings",
    "Material",
    "Product",
    "ReconstructRun",
    "ReconstructSpec",
    "SearchSpec",
    "Spec",
    "Study",
    "StudyConfig",
    "TrainSpec",
    "closing",
    "common_scale",
    "image_scores",
    "keep_model",
    "load_category",
    "load_model",
    "score_test",
]
