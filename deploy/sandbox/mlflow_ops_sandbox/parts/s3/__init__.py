"""The object store: moto's S3 server, made durable, and the part that runs it."""
