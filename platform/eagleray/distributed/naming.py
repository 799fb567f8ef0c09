"""What actors are called: in Ray's dashboard, in logs, and in timelines."""

from uuid import uuid4

import ray

NAMESPACE = "eagleray"
"""Of actors that jobs share: their names are the same for all."""


def own_namespace() -> str:
    """A new namespace for the actors that are started together.

    Names have to be unique in a namespace. In one of their own, plain ones such as embed-0 collide neither with those
    of another job on the cluster nor with those of actors that were just stopped and whose names Ray frees later.
    """
    return f"{NAMESPACE}-{uuid4().hex}"


class NamedActor:
    """Base of classes that are made named actors: where Ray would write the class, it writes the name."""

    def __repr__(self) -> str:
        return str(ray.get_runtime_context().get_actor_name())
