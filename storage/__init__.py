"""nydus-storage in Python: chunked blobs of RAFS images, from backend through cache to device."""

__all__: list[str] = []
