"""Trials on a Ray cluster: side by side, kept after every step, stopped early where they fall behind, gone on with."""

import contextlib
import importlib.util
import io
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler

from eagleray import uris
from eagleray.config import check_at_least, fingerprint
from eagleray.distributed import peak_rss_mb
from eagleray.distributed.losses import PatchesLost
from eagleray.distributed.metrics import TrialMetrics
from eagleray.errors import ConfigError, EagleRayError, ResultsError
from eagleray.threads import limit_threads
from eagleray.trials import Item, Material, Outcome, Result, Shared, SpecT

_STATE, _STOPPED = "state.pt", "stopped"
"""Files of a trial: its last state, in the folder of a checkpoint; and, where ASHA stopped it, a mark."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneConfig:
    """How trials share the cluster."""

    cpus: int = 1
    """CPUs that a trial is given; it computes on one thread, whose sums are the same on every machine of a kind."""
    concurrent: int = 0
    """Trials at the same time; 0 is as many as there is room for."""
    max_failures: int = 3
    """Times that a trial is gone on with after its worker died."""
    grace: int = 4
    """Steps that every trial is given before ASHA may stop it."""
    mlflow: str | None = None
    """Tracking URI of MLflow, where trials are logged too; needs mlflow installed."""

    def __post_init__(self) -> None:
        for name, low in (("cpus", 1), ("concurrent", 0), ("max_failures", 0), ("grace", 1)):
            check_at_least(f"--tune.{name.replace('_', '-')}", getattr(self, name), low)
        if self.mlflow is not None and importlib.util.find_spec("mlflow") is None:
            raise ConfigError("--tune.mlflow", "given where mlflow is installed (pip install mlflow)", self.mlflow)


class Trial(tune.Trainable):  # type: ignore[misc]
    """A run of `eagleray.trials`, as Tune drives it."""

    def setup(
        self,
        config: dict[str, Any],
        trials: str,
        specs: Sequence[SpecT],
        material: Material[SpecT],
        folders: Sequence[str],
    ) -> None:
        """Called by Tune in the trial's worker; `folders` are where each trial's states are kept."""
        torch.set_num_threads(1)
        limit_threads(1)
        self._specs, self._material, self._folders = specs, material, folders
        self._name, self._metrics = f"{trials}-{config['number']}", TrialMetrics(trials)
        self._begin(config["number"])

    def __repr__(self) -> str:
        """What Ray calls the worker: by the first of its trials, for it asks once."""
        return self._name

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called by Tune where a worker takes on another trial: to start one takes longer than many a trial."""
        self._begin(new_config["number"])
        return True

    def _begin(self, number: int) -> None:
        """From the last state that was kept."""
        folder = uris.place(self._folders[number])
        self._run, self._steps, self._found = self._material.begin(self._specs[number]), 0, {"merit": float("nan")}
        self._stopped = (folder / _STOPPED).exists()
        kept = _last_kept(folder)
        if kept is not None:
            self._restore(kept)

    def _restore(self, kept: dict[str, Any]) -> None:
        self._steps, self._found = kept["steps"], kept["found"]
        self._run.restore(kept["state"])

    def step(self) -> dict[str, Any]:
        """One step; none, where the trial was over before, or where a node took along what it needs."""
        lost = False
        if not (self._run.done or self._stopped):
            try:
                with self._metrics.step():
                    self._found = {name: float(value) for name, value in self._run.step().items()}
                self._steps += 1
                self._metrics.found(self._found["merit"], done=self._run.done)
            except ray.exceptions.ObjectLostError:  # Tune would try the same again, and tell of it at length
                lost = True
        finished = self._run.done
        about = {"steps": self._steps, "rss_mb": peak_rss_mb(), "lost": lost, "finished": finished}
        return {**self._found, **about, "done": finished or lost or self._stopped}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep what the next step depends on, and what the last one found."""
        kept = {"steps": self._steps, "found": self._found, "state": self._run.state()}
        torch.save(kept, Path(checkpoint_dir) / _STATE)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Go on from there."""
        self._restore(_load(Path(checkpoint_dir)))


class _Stops(tune.Callback):  # type: ignore[misc]
    """Marks the trials that ASHA stops, so that whoever goes on with an interrupted set leaves them stopped."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune in the driver."""
        if not (trial.last_result["finished"] or trial.last_result["lost"]):
            (uris.place(self._folders[trial.config["number"]]) / _STOPPED).write_text("by ASHA\n")


class TuneRunner:
    """Runs trials by Ray Tune; Ray has to be connected.

    An interrupted set of trials is begun anew, and each trial goes on from its own last state. What Tune notes of a set
    it writes in place, so a driver that is killed may leave half of it, and is not used.

    Args:
        folder: for the trials' states: a folder or URI that all nodes can reach.
        config: how trials share the cluster.
    """

    def __init__(self, folder: str, config: TuneConfig) -> None:
        self._folder, self._config = folder, config
        self.peak_rss_mb = 0.0
        """Largest resident memory of a trial's worker so far."""

    def run(
        self, name: str, specs: Sequence[SpecT], material: Material[SpecT], *, stop_early: bool = False
    ) -> list[Outcome[SpecT]]:
        """See `eagleray.trials.TrialRunner`.

        Raises:
            EagleRayError: a trial ended with it.
            ResultsError: a trial failed more often than is allowed.
            PatchesLost: a node took along what trials need; with new material they go on from their last states.
        """
        if not specs:
            return []
        names = [f"{number:02d}-{getattr(spec, 'name', name)}-seed{spec.seed}" for number, spec in enumerate(specs)]
        place = f"{name}-{fingerprint(specs)}"
        folders = [str(uris.place(self._folder) / place / one) for one in names]
        trainable = tune.with_resources(
            tune.with_parameters(Trial, trials=name, specs=tuple(specs), material=material, folders=folders),
            {"cpu": self._config.cpus},
        )
        trainable.__qualname__ = Trial.__qualname__  # what Ray's dashboard calls the class, else that of a wrapper
        tuner = tune.Tuner(
            trainable,
            param_space={"number": tune.grid_search(list(range(len(specs))))},
            tune_config=tune.TuneConfig(
                metric="merit",
                mode="max",
                scheduler=self._scheduler(material) if stop_early else None,
                max_concurrent_trials=self._config.concurrent or None,
                reuse_actors=True,
                trial_name_creator=lambda trial: names[trial.config["number"]],
                trial_dirname_creator=lambda trial: names[trial.config["number"]],
            ),
            run_config=tune.RunConfig(
                name=place,
                storage_path=uris.quoted(self._folder),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=1),
                failure_config=tune.FailureConfig(max_failures=self._config.max_failures),
                callbacks=[_Stops(folders), *self._callbacks(place)],
                verbose=0,
            ),
        )
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # on Ctrl-C, Tune would hand over trials as they are
        with contextlib.redirect_stdout(io.StringIO()):  # Tune's own tables: the job has a progress line
            results = tuner.fit()
        found = {result.config["number"]: result for result in results}
        if any((result.metrics or {}).get("lost") for result in results):
            raise PatchesLost
        return [self._outcome(spec, found[number], names[number]) for number, spec in enumerate(specs)]

    def map(self, function: Callable[[Item, *Shared], Result], items: Sequence[Item], *shared: *Shared) -> list[Result]:
        """See `eagleray.trials.TrialRunner`."""
        kept = [ray.put(value) for value in shared]
        remote = ray.remote(num_cpus=self._config.cpus)(_call).options(name=function.__name__)
        found: list[Result] = ray.get([remote.remote(function, item, *kept) for item in items])
        return found

    def _callbacks(self, experiment: str) -> list[Any]:
        """Beside Tune's own, which write TensorBoard files."""
        uri = self._config.mlflow
        if uri is None:
            return []
        from mlflow import MlflowClient  # not among what we install

        try:
            MlflowClient(uri).search_experiments(max_results=1)
        except Exception as error:  # of MLflow, of its database or of the network: the address is what can be changed
            reason = textwrap.shorten(str(error) or type(error).__name__, 160)
            raise ConfigError("--tune.mlflow", f"an address where MLflow answers ({reason})", uri) from error
        return [MLflowLoggerCallback(uri, experiment_name=experiment)]

    def _scheduler(self, material: Material[SpecT]) -> ASHAScheduler:
        most = max(material.most_steps, self._config.grace + 1)
        # Not Tune's own count, which starts anew with each attempt, while trials go on from their last states.
        return ASHAScheduler("steps", max_t=most, grace_period=self._config.grace, reduction_factor=2)

    def _outcome(self, spec: SpecT, result: Any, name: str) -> Outcome[SpecT]:
        if result.error is not None:
            cause = getattr(result.error, "cause", result.error)
            if isinstance(cause, EagleRayError):
                raise cause
            reason = str(result.error).strip().splitlines()[-1]
            raise ResultsError(result.path, f"trial {name} failed ({reason}); run again with --resume")
        with result.checkpoint.as_directory() as folder:
            state = _load(Path(folder))["state"]
        self.peak_rss_mb = max(self.peak_rss_mb, result.metrics["rss_mb"])
        return Outcome(spec=spec, state=state, stopped=None if result.metrics["finished"] else "asha")


def _last_kept(folder: uris.Place) -> dict[str, Any] | None:
    """The latest state in a trial's folder that is whole, with the number of steps to it; None without any."""
    states: list[uris.Place] = [*folder.glob(f"checkpoint_*/{_STATE}")]
    states.sort(key=uris.changed_ns, reverse=True)
    for path in states:
        try:
            return _load(path.parent)
        except Exception:  # torch raises anything over half a file
            continue
    return None


def _load(folder: uris.Place) -> dict[str, Any]:
    kept: dict[str, Any] = torch.load(io.BytesIO((folder / _STATE).read_bytes()), weights_only=True)
    return kept


def _call(function: Callable[..., Result], item: Any, *shared: Any) -> Result:
    torch.set_num_threads(1)
    with limit_threads(1):
        return function(item, *shared)
