"""Blobs that an image keeps outside: each is read from the backend that has it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from storage.backend import BlobBackend, MeteredBackend, RoutedBackend
from storage.config import BackendConfig, ConfigV2, ConfigWarning, External, external_backends, read_external
from storage.errors import ConfigError
from storage.image import BlobFeatures, Located, open_bootstrap
from storage.oci import BACKEND_FILE

__all__ = ["with_external"]


def with_external(
    image: Located, config: ConfigV2, backend: MeteredBackend, opener: Callable[[BackendConfig], MeteredBackend]
) -> MeteredBackend | RoutedBackend:
    """The backend of an image whose external blobs are elsewhere; `backend` itself if there are none.

    Where they are is said by ``backend.json`` beside the bootstrap, completed by ``external_backends``. Without such
    a file an external blob is read from the first of ``external_backends`` that has it; without these, from `backend`.

    Parameters
    ----------
    opener
        Opens what a configuration describes.

    Raises
    ------
    ConfigError
        If a backend cannot be had; names the key.
    """
    said = read_external(image.path.parent / BACKEND_FILE)
    if said is None and not config.external_backends:
        return backend
    infos = open_bootstrap(image).infos
    outside = [info.blob_id for info in infos if info.has_feature(BlobFeatures.EXTERNAL)]
    described, idle = external_backends(config.external_backends, said)
    for number in range(len(config.external_backends)) if not outside else idle:
        what = f"the configuration's key external_backends[{number}] has no effect here"
        warnings.warn(what, ConfigWarning, stacklevel=4)
    if not outside:
        return backend
    opened: list[BlobBackend] = [backend if one is None else opener(one) for one in described]
    return RoutedBackend(backend, {blob_id: _route(blob_id, opened, said) for blob_id in outside})


def _route(blob_id: str, opened: list[BlobBackend], said: External | None) -> list[BlobBackend]:
    if said is None:
        return opened
    if blob_id not in said.blobs:
        raise ConfigError("does not say where an external blob is", blob=blob_id, path=BACKEND_FILE)
    return [opened[said.blobs[blob_id]]]
