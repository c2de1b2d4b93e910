"""What compiled code must leave to SQL is left to it, however little is odd."""

from __future__ import annotations

import pytest
from made_requests import FLATTENERS
from odd_messages import ODD, SOUND

from streams.kernels.compiled import IS_COMPILED

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="without numba nothing is flattened")


@pytest.mark.parametrize(("topic", "name"), [(topic, name) for topic, named in ODD.items() for name in named])
def test_a_message_with_something_odd_is_left_alone(topic: str, name: str) -> None:
    """SQL rejects what is odd, or reads it otherwise."""
    assert FLATTENERS[topic].flatten([ODD[topic][name]]).rows == [0]


@pytest.mark.parametrize(("topic", "name"), [(topic, name) for topic, named in SOUND.items() for name in named])
def test_a_message_like_it_with_nothing_odd_is_flattened(topic: str, name: str) -> None:
    """So it is not for how they are made that the others are left alone."""
    assert FLATTENERS[topic].flatten([SOUND[topic][name]]).rows > 0
