"""Images as data sets: from the Hugging Face hub by name, a local copy, a folder, or parquet files.

Pillow and Hugging Face ``datasets`` (``pip install 'odegan[images]'``) are imported where they are needed.
"""

from odegan.data.digits import load_digits
from odegan.data.images import ImageDataset, images

__all__ = ["ImageDataset", "images", "load_digits"]
