"""Generated demo data, never to be reported as a benchmark: products, and surfaces with seen and unseen subclasses."""

from eagleray.data.synthetic.products import PRODUCTS
from eagleray.data.synthetic.subclasses import TEXTURES
from eagleray.data.synthetic.texture_writer import write_textures
from eagleray.data.synthetic.writer import write_products

__all__ = ["PRODUCTS", "TEXTURES", "write_products", "write_textures"]
