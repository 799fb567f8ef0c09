"""Data sets: samples, folder readers and demo data."""

from eagleray.data.files import image_digest
from eagleray.data.folder import open_dataset, read_folder
from eagleray.data.mvtec_ad import read_mvtec_ad
from eagleray.data.sample import Category, Sample
from eagleray.data.synthetic import write_products

__all__ = ["Category", "Sample", "image_digest", "open_dataset", "read_folder", "read_mvtec_ad", "write_products"]
