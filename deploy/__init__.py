"""The ways to run it: embedded stack, demo shop, containers, Collector configuration."""
