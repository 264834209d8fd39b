"""Look at images, record what programs read of them, and replay that against policies."""
