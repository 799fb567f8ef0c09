"""What the benchmark is asked to measure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eagleray.config import check_at_least
from eagleray.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What is measured; every field is a flag."""

    data: Path | None = None
    """Folder in MVTec AD layout; without it, demo products are generated."""
    out: Path = Path("runs/bench")
    """Folder for pictures, measurements and results."""
    preset: Literal["full", "quick"] = "full"
    """Where the sizes start from: quick takes some minutes and gives no figures to quote."""
    peers: Path = Path(".venv-peers/bin/python")
    """Python of the environment that benchmarks/peers/requirements.txt describes."""
    categories: tuple[str, ...] = ()
    """Categories; all by default."""
    image_size: int = 256
    threads: int = 2
    """Cores and threads of every contestant."""
    rounds: int = 3
    """Of the speed tracks."""
    images: int = 250
    """Good pictures of the speed tracks, of the category with most; fewer, where it has fewer."""
    test_images: int = 100
    """Test pictures of the speed tracks."""
    rows: int = 2400
    """Bank rows of the speed tracks."""
    category_rows: int = 400
    """Bank rows where accuracy is measured; of each product in the stream."""
    stream_images: int = 30
    """Good pictures of each product in the stream, at most."""
    stream_tests: int = 40
    """Test pictures of each product in the stream, at most, half of them defective."""
    seeds: tuple[int, ...] = (0,)
    """Of the accuracy and the stream; the speed tracks take the first."""
    resume: bool = False
    """Keep what an interrupted run has measured."""

    def __post_init__(self) -> None:
        check_at_least("--image-size", self.image_size, 128)
        check_at_least("--threads", self.threads, 1)
        check_at_least("--rounds", self.rounds, 1)
        check_at_least("--images", self.images, 10)
        check_at_least("--test-images", self.test_images, 2)
        check_at_least("--rows", self.rows, 100)
        check_at_least("--category-rows", self.category_rows, 100)
        check_at_least("--stream-images", self.stream_images, 20)
        check_at_least("--stream-tests", self.stream_tests, 2)
        if not self.seeds:
            raise ConfigError("--seeds", "one or more numbers", self.seeds)


PRESETS = {
    "full": Bench(),
    "quick": Bench(
        preset="quick",
        out=Path("runs/bench-quick"),
        rounds=2,
        images=24,
        test_images=16,
        rows=200,
        category_rows=100,
        stream_images=20,
        stream_tests=10,
    ),
}
