"""The judge of a model whose categories have a mixture of adapted experts each."""

from collections.abc import Mapping
from dataclasses import dataclass

from eagleray.arrays import Floats
from eagleray.continual.judge import ROUTES_SHOWN, Ask, Judge, KnownClass, Plan, Route
from eagleray.experts import ScoringConfig
from eagleray.mixture import Mixture
from eagleray.routing import PrototypeRouter
from eagleray.threads import limit_blas


@dataclass(frozen=True, slots=True)
class StoredMixture:
    """A mixture that lies in the model store; its experts are left there."""

    digest: str
    mixture: Mixture
    expert: int
    """Number of its first expert; the others follow."""

    @property
    def num_experts(self) -> int:
        """One for each subclass and adaption."""
        return sum(len(row) for row in self.mixture.head.experts)

    def asks(self, patches_HWD: Floats) -> tuple[Ask, ...]:
        """Whom to ask of a picture: all experts of the subclasses that it is routed to."""
        rows = self.mixture.head.experts
        return tuple(
            Ask(self.expert + subclass * len(rows[subclass]) + number, (digest,), weight / len(rows[subclass]))
            for subclass, weight in self.mixture.route(patches_HWD)
            for number, digest in enumerate(rows[subclass])
        )


class MixtureJudge(Judge):
    """Of a model whose categories have a mixture of adapted experts each (Adapted-MoE).

    It never calls a product unknown: to judge subclasses that nobody taught is what it is for.
    """

    def __init__(
        self,
        version: int,
        mixtures: Mapping[str, StoredMixture],
        *,
        image_size: int,
        scoring: ScoringConfig,
        false_alarm_rate: float,
    ) -> None:
        classes = {
            name: KnownClass(
                tuple(range(stored.expert, stored.expert + stored.num_experts)),
                stored.mixture.head.rows,
                stored.mixture.head.num_images,
                stored.mixture.calibration_N,
            )
            for name, stored in mixtures.items()
        }
        super().__init__(version, classes, image_size=image_size, scoring=scoring, false_alarm_rate=false_alarm_rate)
        self.mixtures = mixtures
        self._router = PrototypeRouter({name: stored.mixture.prototypes_KD for name, stored in mixtures.items()})

    def plan(self, patches_HWD: Floats, category: str | None = None) -> Plan:
        """Ask the experts of the nearest subclasses; the category is that of the nearest typical picture."""
        routing: tuple[Route, ...] = ()
        if category is None:
            nearest = self._router.nearest(patches_HWD.mean(axis=(0, 1)), ROUTES_SHOWN)
            routing = tuple(Route(name, self.mixtures[name].expert, distance) for name, distance in nearest)
            category = routing[0].category
        else:
            self.check_category(category)
        with limit_blas(1):  # weights depend on the sums, and sums on the threads
            asks = self.mixtures[category].asks(patches_HWD)
        return Plan(category, asks, routing)

    def _novelty(self, plan: Plan) -> float | None:
        return None
