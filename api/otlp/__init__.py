"""OTLP/HTTP as the specification has it (opentelemetry.io/docs/specs/otlp, section OTLP/HTTP).

::

    body ──unpacked──▶ bytes ──received──▶ message ──judged──▶ rejected ids, forwarded items
                                              └──pieces_of──▶ protobuf records of a size the topics take
"""
