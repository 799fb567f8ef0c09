"""Generated demo data, never to be reported as a benchmark.

Products, surfaces with seen and unseen subclasses, and solids in color and depth.
"""

from eagleray.data.synthetic.products import PRODUCTS
from eagleray.data.synthetic.solid_writer import SolidLayout, write_solids
from eagleray.data.synthetic.solids import SOLIDS
from eagleray.data.synthetic.subclasses import TEXTURES
from eagleray.data.synthetic.texture_writer import write_textures
from eagleray.data.synthetic.writer import write_products

__all__ = ["PRODUCTS", "SOLIDS", "TEXTURES", "SolidLayout", "write_products", "write_solids", "write_textures"]
