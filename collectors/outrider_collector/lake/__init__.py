"""The event lake: events and findings as OCSF-shaped Parquet that DuckDB, Athena, Spark and Trino read alike."""
