"""Kafka: how we connect, which topics must be there, and sending with a confirmed write.

::

    client_settings(settings)     keyword arguments of every aiokafka client, refused when they make no sense
    ensure_topics(settings)       creates what is missing of schemas.topics, refuses what is different
    inspect_topics(settings)      the same look without touching anything
    Producer(settings).send(...)  returns when the broker has acknowledged, raises otherwise
"""

from sinks.kafka.connection import client_settings, ssl_context
from sinks.kafka.producer import Ack, Headers, Message, Producer
from sinks.kafka.topics import TopicState, ensure_topics, inspect_topics

__all__ = [
    "Ack",
    "Headers",
    "Message",
    "Producer",
    "TopicState",
    "client_settings",
    "ensure_topics",
    "inspect_topics",
    "ssl_context",
]
