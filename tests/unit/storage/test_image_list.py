"""The list of images that an event learned: one blob, in order, nothing but digests."""

import hashlib
from pathlib import Path

import pytest

from eagleray.errors import StoreCorrupt
from eagleray.storage import Event, Manifest, read_image_list, write_image_list
from eagleray.storage.manifest import to_bytes

DIGESTS = [hashlib.sha256(b"%d" % number).hexdigest()[:16] for number in range(500)]


def test_a_list_comes_back_in_its_order(store):
    turned = DIGESTS[::-1]
    assert read_image_list(store, write_image_list(store, turned)) == tuple(turned)
    assert read_image_list(store, write_image_list(store, [])) == ()


def test_equal_lists_are_one_blob_and_another_order_is_another(store):
    assert write_image_list(store, DIGESTS) == write_image_list(store, iter(DIGESTS))
    assert write_image_list(store, DIGESTS) != write_image_list(store, DIGESTS[::-1])


@pytest.mark.parametrize("digest", ["AB12", "", "ab 12", "ab12\n", "xyz", "é"])
def test_what_is_no_digest_is_not_written(store, digest):
    with pytest.raises(ValueError, match="hexadecimal"):
        write_image_list(store, ["ab12", digest])
    assert list(Path(store.uri, "blobs").iterdir()) == []


@pytest.mark.parametrize("data", [b"ab12", b"ab12\n\n", b"AB12\n", b"\xff\n", b"ARROW1"])
def test_a_blob_that_is_no_list_is_refused(store, data):
    blob = store.put_blob(data)
    with pytest.raises(StoreCorrupt, match=f"{blob}: this is no list of image digests"):
        read_image_list(store, blob)


def test_an_event_takes_as_many_bytes_of_the_manifest_whatever_it_learned(store):
    def size(num_images):
        listed = write_image_list(store, DIGESTS[:num_images])
        event = Event(step=1, op="learn", class_name="nut", expert=0, images=listed, num_images=num_images)
        return len(to_bytes(Manifest(kind="test", features={}, config={}, seed=0, history=(event,))))

    assert size(500) == size(100)
