"""What objects are made of: fields, types, merge keys; and the OpenAPI documents that tell of it."""
