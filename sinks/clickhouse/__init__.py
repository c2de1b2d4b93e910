"""ClickHouse: raw telemetry landed as bytes, closed windows, and the reads over both."""
