import pytest

from eagleray.features import FeaturesConfig, build_extractor


@pytest.fixture(scope="session")
def small():
    """The packaged backbone on pictures as small as the coarsest tap allows."""
    return FeaturesConfig(image_size=64)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def extractor(small, cache):
    return build_extractor(small, cache=cache)
