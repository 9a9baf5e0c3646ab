"""What tests of the course's checks share."""

import re
from typing import Any

from shapekeeper import course

# What nobody means as an answer; an empty table is where some exercises start.
NONSENSE = [
    object(), "text", float("nan"), -1, [], lambda *a: object(), lambda *a: 1 / 0, lambda: 1,
]  # fmt: skip


def judged(key: str, answer: Any, state: str, words: str) -> None:
    """Assert that a check calls an answer right, wrong or not yet, and says so in these words."""
    verdict = course.check(key, answer)
    assert verdict.state == state, verdict
    assert re.search(words, f"{verdict.message} | {verdict.wanted} | {verdict.got}"), verdict


def survives(key: str, answer: Any) -> None:
    """Assert that a check finds an answer wrong, and says something that can be shown."""
    verdict = course.check(key, answer)
    assert verdict.state == "wrong"
    assert verdict.message
    assert verdict._repr_html_().startswith("<div")
