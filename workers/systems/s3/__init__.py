"""The object store, over S3: single objects, and very many or very large ones (transfer, multipart, listing)."""
