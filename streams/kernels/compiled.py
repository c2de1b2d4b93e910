"""How loops are compiled: without the interpreter's lock, once, kept on disk.

numba keeps machine code beside the source or in the user's cache folder, and notices a change of the file a function
is in, but not of what that function calls. So our code is kept in a folder named after the contents of this whole
package. ``NUMBA_CACHE_DIR`` names another place; where nothing can be written (a read-only installation without a home)
everything works, but each start compiles anew. Without numba the functions are plain Python: right and slow.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

numba: Any
try:
    import numba
except ImportError:  # no wheel for this platform or this Python
    numba = None

Function = TypeVar("Function", bound=Callable[..., Any])

IS_COMPILED = numba is not None and not numba.config.DISABLE_JIT
"""Whether `compiled` compiles. If not, take another way where there is one."""


def compiled(function: Function) -> Function:
    """Compile a function when it is first called (decorator)."""
    return _compiled(function, is_inlined=False)


def inlined(function: Function) -> Function:
    """Compile a function into each function that calls it (decorator).

    A call hands over every array as seven numbers on the stack, a table of arrays as thirty: often more work than what
    is called does.
    """
    return _compiled(function, is_inlined=True)


def _compiled(function: Function, is_inlined: bool) -> Function:
    if not IS_COMPILED:
        return function
    folder = cache_folder()
    theirs, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder or "")
    options = {"nogil": True, "_nrt": False, "forceinline": is_inlined, "cache": folder is not None}
    try:
        made: Function = numba.njit(**options)(function)  # asks for the folder now
    finally:
        numba.config.CACHE_DIR = theirs
    return made


@cache
def cache_folder() -> Path | None:
    """Return where machine code is kept, or None when nothing can be written."""
    name = f"incidentscope-{_digest()}{'-checked' if numba.config.BOUNDSCHECK else ''}"
    for place in (numba.config.CACHE_DIR, Path(__file__).parent / "__pycache__", os.path.expanduser("~/.cache/numba")):
        folder = Path(place) / name
        if place and _can_be_written(folder):
            return folder
    return None


def _digest() -> str:
    """Return a short name of the contents of this package."""
    found = sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
