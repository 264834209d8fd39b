"""For tests of yours and ours: hypothesis strategies, made images and blobs, conformance suites."""
