"""Signatures of object stores: pure functions from a request and a time to headers."""

from storage.backend.signing._clock import Clock
from storage.backend.signing._keys import Keys, object_path
from storage.backend.signing._oss import sign_oss_v1, sign_oss_v4
from storage.backend.signing._sigv4 import sign_s3

__all__ = ["Clock", "Keys", "object_path", "sign_oss_v1", "sign_oss_v4", "sign_s3"]
