"""Images in registries and in OCI layouts: resolve and open them, push them."""

from storage.oci._manifest import BOOTSTRAP_ANNOTATION, Descriptor
from storage.oci._pull import BACKEND_FILE, REGISTRY_FILE, Pulled, load_backend, pull
from storage.oci._push import Pushed, push
from storage.oci._reference import Reference, parse_reference

__all__ = [
    "BACKEND_FILE",
    "BOOTSTRAP_ANNOTATION",
    "Descriptor",
    "Pulled",
    "Pushed",
    "REGISTRY_FILE",
    "Reference",
    "load_backend",
    "parse_reference",
    "pull",
    "push",
]
