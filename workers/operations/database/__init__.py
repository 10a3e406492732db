"""Care of the database: how large and how well it is, vacuum, indexes, and what sessions do."""
