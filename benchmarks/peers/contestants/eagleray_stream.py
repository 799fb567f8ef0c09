"""Our learner on a stream of products, in one process: the class of a test picture is found from its pixels."""

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.contestants.contest import clock, peak_mb, read_job, write_figures
from benchmarks.peers.contestants.eagleray_patchcore import open_extractor
from eagleray.config import to_json
from eagleray.continual import Arrival, EvaluationConfig, Evaluator, Learner, LearnerConfig, LocalPool, StreamConfig
from eagleray.data import Category, Sample
from eagleray.experts import ScoringConfig
from eagleray.storage import ModelStore


def main() -> None:
    job = read_job()
    extractor = open_extractor(job)
    tests = {name: [Sample(path, name, "test", 0, "", None) for path in paths] for name, paths in job.test.items()}
    seconds: dict[str, float] = {}
    steps = []
    with TemporaryDirectory(dir=job.out) as folder:
        store = ModelStore.create(Path(folder) / "model")
        with LocalPool(extractor, store) as pool:
            learner = Learner(
                LearnerConfig(),
                StreamConfig(),
                pool,
                store,
                features={**to_json(extractor.config), "weights_sha256": extractor.weights_sha256},
                extractor_blob=store.put_blob(extractor.onnx),
                seed=job.seed,
            )
            evaluator = Evaluator(pool, ScoringConfig(), EvaluationConfig())
            for name, paths in job.train.items():
                good = tuple(Sample(path, name, "train", 0, "good", None) for path in paths)
                with clock(seconds, "learn"):
                    learner.take(Arrival(Category(name, good, ())))
                judged = evaluator.verdicts(learner.model, tests)
                steps.append({known: [verdict.score for verdict in verdicts] for known, verdicts in judged.items()})
    run = {"name": "EagleRay", "steps": steps, "seconds": seconds["learn"]}
    write_figures(job, {"runs": [run], "peak_mb": peak_mb()})


if __name__ == "__main__":
    main()
