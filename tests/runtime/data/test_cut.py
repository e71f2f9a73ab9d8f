from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alignc.runtime.data.cut import cut

BOS = 1
ids = st.lists(st.integers(2, 99), min_size=1, max_size=12)
prompts = st.tuples(st.sampled_from([[], [BOS]]), ids).map(lambda parts: parts[0] + parts[1])


def test_by_hand() -> None:
    # 6 tokens in all, the longer response has 2: 4 are left for the prompt, BOS among them.
    row = cut([BOS, 10, 11, 12, 13], [[20], [30, 31]], 6, BOS)
    assert (row.prompt, row.responses) == ([BOS, 11, 12, 13], ([20], [30, 31]))
    assert (row.prompt_cut, row.responses_cut) == (True, False)
    # A response of 5 fits behind a prompt of one token; of 6 it does not, and loses its end.
    assert cut([BOS, 10], [[2, 3, 4, 5, 6]], 6, BOS).responses == ([2, 3, 4, 5, 6],)
    longest = cut([BOS, 10], [[2, 3, 4, 5, 6, 7]], 6, BOS)
    assert (longest.prompt, longest.responses, longest.responses_cut) == ([BOS], ([2, 3, 4, 5, 6],), True)


@given(prompts, st.lists(ids, max_size=4), st.integers(2, 30))
def test_every_row_fits_and_nothing_is_empty(
    prompt: list[int], replies: list[list[int]], length: int
) -> None:
    row = cut(prompt, replies, length, BOS)
    assert len(row.prompt) >= 1
    assert len(row.responses) == len(replies)
    for whole, kept in zip(replies, row.responses, strict=True):
        assert len(kept) >= 1
        assert len(row.prompt) + len(kept) <= length
        assert list(kept) == whole[: len(kept)]


@given(prompts, st.lists(ids, max_size=4), st.integers(2, 30))
def test_nothing_is_cut_that_fits(prompt: list[int], replies: list[list[int]], length: int) -> None:
    row = cut(prompt, replies, length, BOS)
    longest = max(map(len, replies), default=0)
    assert row.responses_cut == (longest > length - 1)
    assert row.prompt_cut == (len(prompt) + min(longest, length - 1) > length)
    if row.prompt_cut:
        assert len(row.prompt) == length - min(longest, length - 1)
    else:
        assert row.prompt == prompt


@given(prompts, ids, st.integers(2, 30))
def test_a_cut_prompt_keeps_bos_and_its_end(prompt: list[int], reply: list[int], length: int) -> None:
    kept = list(cut(prompt, [reply], length, BOS).prompt)
    assert (kept[0] == BOS) == (prompt[0] == BOS)
    body = kept[1:] if kept[0] == BOS else kept
    assert body == prompt[len(prompt) - len(body) :]


@given(prompts, st.lists(ids, max_size=4))
def test_without_a_bound_nothing_changes(prompt: list[int], replies: list[list[int]]) -> None:
    row = cut(prompt, replies, None, BOS)
    assert (row.prompt, list(row.responses), row.prompt_cut, row.responses_cut) == (
        prompt,
        replies,
        False,
        False,
    )
