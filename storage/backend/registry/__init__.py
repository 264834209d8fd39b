"""Backend `registry`: container registries that speak OCI distribution."""

from storage.backend.registry._options import RegistryOptions
from storage.backend.registry._registry import Registry

__all__ = ["Registry", "RegistryOptions"]
