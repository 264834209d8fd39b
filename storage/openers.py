"""From a configuration's section `backend` to a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from storage.backend import S3, BlobBackend, HttpProxy, LocalDisk, LocalFs, MeteredBackend, Oss, open_plugin
from storage.backend.http import HttpOptions, MirrorOptions, ProxyOptions, Secret
from storage.backend.registry import Registry, RegistryOptions
from storage.backend.signing import Keys
from storage.config import BackendConfig, HttpConfig, RegistryConfig
from storage.errors import ConfigError
from storage.events import Recorder

__all__ = ["open_backend", "open_external", "registry_options"]

_S3_ENDPOINT = "s3.amazonaws.com"


def open_backend(config: BackendConfig, recorder: Recorder | None = None) -> MeteredBackend:
    """The backend that a configuration describes, with its metrics.

    Raises
    ------
    ConfigError, UnsupportedError
        If it cannot be had; names the key.
    """
    if config.type not in _OPENERS:
        return MeteredBackend(open_plugin(config.type, config.other or {}), config.type)
    with _naming(config.type):
        return MeteredBackend(_OPENERS[config.type](config, recorder), config.type)


def open_external(config: BackendConfig, recorder: Recorder | None = None) -> MeteredBackend:
    """The same for a backend of external blobs, which an image may name: it is not told ``IMAGE_PULL_AUTH``.

    Raises
    ------
    ConfigError, UnsupportedError
        If it cannot be had; names the key.
    """
    if config.registry is None:
        return open_backend(config, recorder)
    with _naming(config.type):
        options = replace(registry_options(config.registry), pull_auth=False)
        return MeteredBackend(Registry(options, recorder), config.type)


@contextmanager
def _naming(kind: str) -> Iterator[None]:
    """Errors name the key as a configuration has it."""
    try:
        yield
    except ConfigError as error:
        if "field" not in error.where:
            raise
        where = error.where | {"field": f"backend.{kind}.{error.where['field']}"}
        raise type(error)(error.message, **where) from error


def _http_options(config: HttpConfig) -> HttpOptions:
    if config.proxy.dragonfly_scheduler_endpoint:
        message = "Dragonfly's SDK mode is not spoken: name its proxy's url"
        raise ConfigError(message, field="proxy.dragonfly_scheduler_endpoint")
    proxy = {name: value for name, value in vars(config.proxy).items() if name != "dragonfly_scheduler_endpoint"}
    given: dict[str, Any] = {} if config.retry_limit is None else {"retry_limit": config.retry_limit}
    return HttpOptions(
        timeout=config.timeout,
        connect_timeout=config.connect_timeout,
        skip_verify=config.skip_verify,
        ca_cert_files=config.ca_cert_files,
        proxy=ProxyOptions(**proxy),
        mirrors=tuple(MirrorOptions(**vars(mirror)) for mirror in config.mirrors),
        **given,
    )


def _localfs(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.localfs
    assert table is not None
    return LocalFs(table.dir or None, blob_file=table.blob_file or None, alt_dirs=table.alt_dirs)


def _localdisk(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.localdisk
    assert table is not None
    return LocalDisk(table.device_path, disable_gpt=table.disable_gpt)


def _s3(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.s3
    assert table is not None
    return S3(
        table.bucket_name,
        region=table.region,
        endpoint=table.endpoint or _S3_ENDPOINT,
        scheme=table.scheme,
        prefix=table.object_prefix,
        keys=_keys(table.access_key_id, table.access_key_secret, table.session_token),
        style=table.addressing_style,
        options=_http_options(table),
        recorder=recorder,
    )


def _oss(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.oss
    assert table is not None
    if table.signature_version == "v4" and not table.region:
        raise ConfigError("is what signature version v4 needs", field="region")
    return Oss(
        table.bucket_name,
        table.endpoint,
        scheme=table.scheme,
        prefix=table.object_prefix,
        keys=_keys(table.access_key_id, table.access_key_secret, table.session_token),
        region=table.region if table.signature_version == "v4" else "",
        options=_http_options(table),
        recorder=recorder,
    )


def _http_proxy(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.http_proxy
    assert table is not None
    return HttpProxy(table.addr, table.path, options=_http_options(table), recorder=recorder)


def _registry(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.registry
    assert table is not None
    return Registry(registry_options(table), recorder)


def registry_options(table: RegistryConfig) -> RegistryOptions:
    """Settings of a registry as its class takes them.

    Raises
    ------
    ConfigError
        If it cannot be had; names the key.
    """
    return RegistryOptions(
        table.host,
        table.repo,
        table.scheme,
        auth=Secret(table.auth or ""),
        registry_token=Secret(table.registry_token or ""),
        blob_url_scheme=table.blob_url_scheme,
        blob_redirected_host=table.blob_redirected_host,
        http=_http_options(table),
    )


def _keys(key_id: str, secret: str, token: str) -> Keys | None:
    return Keys(key_id, secret, token) if key_id else None


_OPENERS: dict[str, Callable[[BackendConfig, Recorder | None], BlobBackend]] = {
    "http-proxy": _http_proxy,
    "localdisk": _localdisk,
    "localfs": _localfs,
    "oss": _oss,
    "registry": _registry,
    "s3": _s3,
}
