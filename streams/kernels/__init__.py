"""Compiled loops over bytes and columns, and nothing else: no objects, no decisions about meaning.

What calls them lives beside what it is about (`streams.otlp.walker`, `streams.tally`). All compiled functions are in
this package, because code kept on disk is thrown away when any file of it changes (`streams.kernels.compiled`).
"""
