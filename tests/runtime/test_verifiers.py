from __future__ import annotations

import pytest

from alignc.runtime.reward.verifiers import VERIFIERS


@pytest.mark.parametrize(
    ("name", "completion", "wanted", "score"),
    [
        ("exact_number", "so 3 + 4 = 7.", "7", 1.0),
        ("exact_number", "#### 1,234", "1234.0", 1.0),
        ("exact_number", "it is -5", "5", 0.0),
        ("exact_number", "no idea", "5", 0.0),
        ("exact_number", "0.1 and .5", "1/2 is .5", 1.0),
        ("exact_match", " yes\n", "yes", 1.0),
        ("exact_match", "yes!", "yes", 0.0),
        ("exact_number", "1" * 5000, "1", 0.0),
        ("regex", "abc123", r"\d+$", 1.0),
        ("regex", "abc", r"\d", 0.0),
        ("length", "1234", "4", 1.0),
        ("length", "12345", "4", 0.0),
        ("json", '{"a": [1]}', "", 1.0),
        ("json", '{"a": 1}', '{ "a":1 }', 1.0),
        ("json", '{"a": 1', "", 0.0),
    ],
)
def test_verifier(name: str, completion: str, wanted: str, score: float):
    assert VERIFIERS[name](completion, wanted) == score
