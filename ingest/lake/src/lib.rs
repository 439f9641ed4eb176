//! Keeps every event as Parquet, once.
