"""Everything that changes objects on request: create, update, patch, delete, and the subresources that write."""
