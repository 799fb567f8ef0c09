"""Generated demo data: ten products drawn with small defects, never to be reported as a benchmark."""

from eagleray.data.synthetic.products import PRODUCTS
from eagleray.data.synthetic.writer import write_products

__all__ = ["PRODUCTS", "write_products"]
