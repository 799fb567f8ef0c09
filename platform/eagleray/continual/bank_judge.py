"""The judge of a model that learned class after class."""

import math

from eagleray.arrays import Floats
from eagleray.continual.judge import ROUTES_SHOWN, Ask, Judge, KnownClass, Plan, Route
from eagleray.continual.model import Model
from eagleray.experts import ScoringConfig
from eagleray.routing import novelty_limits


class BankJudge(Judge):
    """Of a model that learned class after class (MECAD)."""

    def __init__(self, model: Model, *, image_size: int, scoring: ScoringConfig, false_alarm_rate: float) -> None:
        classes = {
            name: KnownClass((model.experts[name],), stored.num_rows, stored.bank.num_images, stored.bank.calibration_N)
            for name, stored in model.banks.items()
        }
        super().__init__(
            model.version, classes, image_size=image_size, scoring=scoring, false_alarm_rate=false_alarm_rate
        )
        self.model = model
        self._router = model.router()
        self._reach = novelty_limits(
            {name: stored.bank.routing_distances_N for name, stored in model.banks.items()},
            {name: stored.bank.centroid_D for name, stored in model.banks.items()},
        )

    def plan(self, patches_HWD: Floats, category: str | None = None) -> Plan:
        """Ask for the class of the nearest typical picture, by the mean patch."""
        if category is not None:
            self.check_category(category)
            return Plan(category, self._asks(category), ())
        nearest = self._router.nearest(patches_HWD.mean(axis=(0, 1)), ROUTES_SHOWN)
        routing = tuple(Route(name, self.model.experts[name], distance) for name, distance in nearest)
        return Plan(routing[0].category, self._asks(routing[0].category), routing)

    def _novelty(self, plan: Plan) -> float | None:
        reach = self._reach[plan.category]
        return plan.routing[0].distance / reach if plan.routing and math.isfinite(reach) else None

    def _asks(self, category: str) -> tuple[Ask, ...]:
        return (Ask(self.model.experts[category], self.model.scored_against(category), 1.0),)
