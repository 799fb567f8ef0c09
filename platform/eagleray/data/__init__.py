"""Data sets: samples, folder readers, depth and demo data."""

from eagleray.data.depth import DepthMap, load_depth, resize_depth
from eagleray.data.eyecandies import is_eyecandies, read_eyecandies
from eagleray.data.files import image_digest, image_digests
from eagleray.data.folder import open_dataset, read_folder
from eagleray.data.mvtec_3d import is_mvtec_3d, read_mvtec_3d
from eagleray.data.mvtec_ad import read_mvtec_ad
from eagleray.data.plane import remove_plane
from eagleray.data.rgbd import RgbdCategory, RgbdSample
from eagleray.data.rgbd_layouts import open_rgbd
from eagleray.data.sample import Category, Sample, SubclassedCategory
from eagleray.data.synthetic import write_products, write_solids, write_textures
from eagleray.data.texture_ad import is_texture_ad, read_texture_ad

__all__ = [
    "Category",
    "DepthMap",
    "RgbdCategory",
    "RgbdSample",
    "Sample",
    "SubclassedCategory",
    "image_digest",
    "image_digests",
    "is_eyecandies",
    "is_mvtec_3d",
    "is_texture_ad",
    "load_depth",
    "open_dataset",
    "open_rgbd",
    "read_eyecandies",
    "read_folder",
    "read_mvtec_3d",
    "read_mvtec_ad",
    "read_texture_ad",
    "remove_plane",
    "resize_depth",
    "write_products",
    "write_solids",
    "write_textures",
]
