import tracemalloc

import numpy as np
from PIL import Image

from eagleray.continual import PixelTask, pixel_figures

SIDE, NUM_PICTURES = 256, 40


def test_pixel_figures_take_five_bytes_for_each_pixel_of_a_class(tmp_path):
    picture, mask = tmp_path / "good.png", tmp_path / "mask.png"
    Image.new("L", (SIDE, SIDE)).save(picture)
    marked = np.zeros((SIDE, SIDE), np.uint8)
    marked[:20, :20] = 255
    Image.fromarray(marked).save(mask)
    grids = np.random.default_rng(0).random((NUM_PICTURES, 16, 16), np.float32)
    masks = (None, str(mask)) * (NUM_PICTURES // 2)
    task = PixelTask((str(picture),) * NUM_PICTURES, masks, tuple(grids), 4.0)
    tracemalloc.start()
    try:
        pixel_figures(task)
        assert tracemalloc.get_traced_memory()[1] < 5.5 * NUM_PICTURES * SIDE**2
    finally:
        tracemalloc.stop()
