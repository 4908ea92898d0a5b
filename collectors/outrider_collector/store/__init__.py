"""The findings store: SQLAlchemy Core over SQLite; `tables` is the schema, one module for each kind of thing."""
