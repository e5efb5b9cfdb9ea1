"""Images as data sets: from the Hugging Face hub by name, a local copy, a folder, parquet files, or MNIST's idx files.

Pillow and Hugging Face ``datasets`` (``pip install 'odegan[images]'``) are imported where they are needed.
"""

from odegan.data.digits import load_digits
from odegan.data.images import ImageDataset, images
from odegan.data.labeled_images import LabeledImages, idx

__all__ = ["ImageDataset", "LabeledImages", "idx", "images", "load_digits"]


def __dir__() -> list[str]:
    return __all__
