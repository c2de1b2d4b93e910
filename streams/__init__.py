"""The thinking: pure operators. No clock, no I/O, no logging, no asyncio, no Faust. Imports schemas only."""
