"""What objects are made of: fields, types, merge keys, quantities; and the OpenAPI documents that tell of it."""
