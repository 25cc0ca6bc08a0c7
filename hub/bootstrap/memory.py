"""How often Python looks through its memory for what only refers to itself."""

from __future__ import annotations

import gc

# After so many new objects; through older ones after so many looks. As Python comes, 700 and 10:
# an accepted document makes some hundred objects, and none of them ends up in a ring.
_OBJECTS, _LOOKS, _LOOKS_AT_ALL = 10_000, 50, 100


def look_rarely() -> None:
    """From now on, look rarely, and never again at what is there already.

    It took a fifth of the time of accepting documents, and each look at everything held up all
    callers for a tenth of a second. To be called once a process has loaded what it works with.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, _LOOKS, _LOOKS_AT_ALL)
