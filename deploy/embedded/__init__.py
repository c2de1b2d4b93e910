"""The whole stack without Docker: real servers from PyPI as children of this process."""

from deploy.embedded.stack import EmbeddedStack, attached

__all__ = ["EmbeddedStack", "attached"]
