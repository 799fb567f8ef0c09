"""Continual learning of a stream of products (MECAD): stream, assignment, replay, learner, pool, evaluation."""

from eagleray.continual.assignment import assign_expert
from eagleray.continual.config import MecadConfig
from eagleray.continual.controls import Control
from eagleray.continual.evaluation import EvaluationConfig, Evaluator, Tests, Verdict
from eagleray.continual.examples import write_examples
from eagleray.continual.expert_cache import ExpertCache, ExpertLoader, load_expert
from eagleray.continual.figures import PixelTask, image_figures, pixel_figures, routing_accuracy
from eagleray.continual.fit import ExpertUpdate, update_expert
from eagleray.continual.judge import Ask, Finding, Judge, Plan, Route
from eagleray.continual.learner import (
    CalibrationConfig,
    Learner,
    LearnerConfig,
    check_same_settings,
    check_settings,
    held_out,
)
from eagleray.continual.model import Model
from eagleray.continual.open_judge import FUSION_KIND, open_judge, stored_extractor
from eagleray.continual.outcome import class_figures, control_figures, means, score_rows, stream_figures
from eagleray.continual.pool import (
    Advance,
    ExpertPool,
    LocalPool,
    PatchSet,
    StoredBank,
    cut,
    load_bank,
    no_progress,
    update_and_store,
    wanted,
)
from eagleray.continual.prepared_pool import PreparedPictures, PreparedPool
from eagleray.continual.run import Progress, StreamRun, silent
from eagleray.continual.scoring_session import ScoringSession
from eagleray.continual.stream import Arrival, Removal, StreamConfig, StreamEvent, open_stream
from eagleray.continual.work import ScoredImage, ScoreItem, ShardInfo, embed_shard, score_shard

__all__ = [
    "FUSION_KIND",
    "Advance",
    "Arrival",
    "Ask",
    "CalibrationConfig",
    "Control",
    "EvaluationConfig",
    "Evaluator",
    "ExpertCache",
    "ExpertLoader",
    "ExpertPool",
    "ExpertUpdate",
    "Finding",
    "Judge",
    "Learner",
    "LearnerConfig",
    "LocalPool",
    "MecadConfig",
    "Model",
    "PatchSet",
    "PixelTask",
    "Plan",
    "PreparedPictures",
    "PreparedPool",
    "Progress",
    "Removal",
    "Route",
    "ScoreItem",
    "ScoredImage",
    "ScoringSession",
    "ShardInfo",
    "StoredBank",
    "StreamConfig",
    "StreamEvent",
    "StreamRun",
    "Tests",
    "Verdict",
    "assign_expert",
    "check_same_settings",
    "check_settings",
    "class_figures",
    "control_figures",
    "cut",
    "embed_shard",
    "held_out",
    "image_figures",
    "load_bank",
    "load_expert",
    "means",
    "no_progress",
    "open_judge",
    "open_stream",
    "pixel_figures",
    "routing_accuracy",
    "score_rows",
    "score_shard",
    "silent",
    "stored_extractor",
    "stream_figures",
    "update_and_store",
    "update_expert",
    "wanted",
    "write_examples",
]
