"""The words: settings, topics, events, errors, metric names. Imports pydantic and nothing of ours."""
