"""Whether the Hugging Face hub can be reached, asked once and quickly."""

from __future__ import annotations

from functools import cache

__all__ = ["offline_unless_reachable"]

_PATIENCE = 5.0


@cache
def offline_unless_reachable() -> bool:
    """Return whether the hub answers; where it doesn't, let its libraries look at their caches only.

    Left alone, they retry a dead network for most of a minute, once a file. ``HF_HUB_OFFLINE`` is honoured.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if _answers(constants.ENDPOINT):
        return True
    _go_offline()
    return False


def _answers(endpoint: str) -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=_PATIENCE)
    except Exception:  # the hub's HTTP library and its exceptions change with its version
        return False
    return True


def _go_offline() -> None:
    import datasets
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True
