"""SQLite: the schema, the one thread that writes, typed reads, and the commands that change rows."""
