"""Cache files: in what form the chunks of a blob are kept."""

from storage.cache.stores._base import BlobFile, Source
from storage.cache.stores._encrypted import EncryptedFile
from storage.cache.stores._open import open_blob_file
from storage.cache.stores._plain import PlainFile
from storage.cache.stores._raw import RawFile
from storage.cache.stores._tar import TarFile

__all__ = ["BlobFile", "EncryptedFile", "PlainFile", "RawFile", "Source", "TarFile", "open_blob_file"]
