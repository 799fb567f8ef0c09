"""Data sets: samples, folder readers and demo data."""

from eagleray.data.files import image_digest
from eagleray.data.folder import open_dataset, read_folder
from eagleray.data.mvtec_ad import read_mvtec_ad
from eagleray.data.sample import Category, Sample, SubclassedCategory
from eagleray.data.synthetic import write_products, write_textures
from eagleray.data.texture_ad import is_texture_ad, read_texture_ad

__all__ = [
    "Category",
    "Sample",
    "SubclassedCategory",
    "image_digest",
    "is_texture_ad",
    "open_dataset",
    "read_folder",
    "read_mvtec_ad",
    "read_texture_ad",
    "write_products",
    "write_textures",
]
