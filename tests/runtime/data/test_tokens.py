"""Golden token rows: what ends up in the prompt, what is supervised, and which special tokens frame it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.example import Example
from alignc.runtime.data.settings import DataSettings

ASK = {"role": "user", "content": "What color is the sky?"}
BLUE = {"role": "assistant", "content": "It is blue."}
GREEN = {"role": "assistant", "content": "It is green."}
CHATML_ASK = "<|bos|><|im_start|>user\nWhat color is the sky?<|im_end|>\n<|im_start|>assistant\n"


def first(settings: DataSettings, tokenizer: Any) -> Example:
    return load_examples(settings, tokenizer)[0]


def ids_of_bytes(text: str) -> list[int]:
    return [byte + 3 for byte in text.encode()]


def pieces(ids: Any, tokenizer: Any) -> list[str]:
    return [tokenizer.decode([token]) for token in ids]


Pairs = Callable[..., DataSettings]


def test_bytes_are_their_values_plus_three_and_eos_closes(pairs: Pairs, byte_tokenizer: Any) -> None:
    row = first(pairs([{"prompt": "2+2=", "chosen": "4", "rejected": "é"}]), byte_tokenizer)
    assert row.prompt.tolist() == [53, 46, 53, 64]
    assert [ids.tolist() for ids in row.responses] == [[55, 1], [198, 172, 1]]
    assert row.prompt.dtype == "int32"


def test_plain_text_gets_bos_once_and_eos_once(pairs: Pairs, chat_tokenizer: Any) -> None:
    row = first(pairs([{"prompt": "The sky is", "chosen": " blue", "rejected": " green"}]), chat_tokenizer)
    assert pieces(row.prompt, chat_tokenizer) == ["<|bos|>", "The", " sky", " is"]
    assert [pieces(ids, chat_tokenizer) for ids in row.responses] == [
        [" blue", "<|im_end|>"],
        [" green", "<|im_end|>"],
    ]


def test_a_conversation_is_written_by_the_template(pairs: Pairs, chat_tokenizer: Any) -> None:
    row = first(pairs([{"prompt": [ASK], "chosen": [BLUE], "rejected": [GREEN]}]), chat_tokenizer)
    assert chat_tokenizer.decode(row.prompt) == CHATML_ASK
    assert row.prompt[:2].tolist() == [1, 3]
    chosen, rejected = (chat_tokenizer.decode(ids) for ids in row.responses)
    # The line break that ChatML writes behind EOS comes after generation has stopped: it is not learned.
    assert (chosen, rejected) == ("It is blue.<|im_end|>", "It is green.<|im_end|>")


def test_several_assistant_turns_at_the_end_are_all_supervised(jsonl: Any, chat_tokenizer: Any) -> None:
    settings = DataSettings(kind="demonstrations", source=str(jsonl([{"messages": [ASK, BLUE, GREEN]}])))
    row = first(settings, chat_tokenizer)
    assert chat_tokenizer.decode(row.prompt) == CHATML_ASK
    assert chat_tokenizer.decode(row.responses[0]) == (
        "It is blue.<|im_end|>\n<|im_start|>assistant\nIt is green.<|im_end|>"
    )


def test_a_template_whose_turns_end_otherwise_still_gets_eos(
    pairs: Pairs, chat_tokenizer: Any, tmp_path: Path
) -> None:
    template = tmp_path / "plain.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    rows = [{"prompt": [ASK], "chosen": [BLUE], "rejected": [GREEN]}]
    row = first(pairs(rows, chat_template=str(template)), chat_tokenizer)
    # This template writes no BOS; a template owns its special tokens, and none is added.
    assert chat_tokenizer.decode(row.prompt) == "user: What color is the sky?\nassistant:"
    assert chat_tokenizer.decode(row.responses[0]) == " It is blue.\n<|im_end|>"


def test_a_generation_prompt_that_only_opens_a_thought_splits_where_the_texts_part(
    pairs: Pairs, byte_tokenizer: Any, tmp_path: Path
) -> None:
    template = tmp_path / "think.jinja"
    template.write_text(
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]<think>{% endif %}"
    )
    rows = [{"prompt": [ASK], "chosen": [BLUE], "rejected": [GREEN]}]
    row = first(pairs(rows, chat_template=str(template)), byte_tokenizer)
    assert row.prompt.tolist() == ids_of_bytes("[user]What color is the sky?[assistant]")
    assert row.responses[0].tolist() == [*ids_of_bytes("It is blue."), 1]


def test_a_token_over_the_boundary_belongs_to_the_response(pairs: Pairs, chat_tokenizer: Any) -> None:
    rows = [{"prompt": "The sky is bl", "chosen": "ue", "rejected": "ack"}]
    row = first(pairs(rows), chat_tokenizer)
    assert pieces(row.prompt, chat_tokenizer) == ["<|bos|>", "The", " sky", " is"]
    assert chat_tokenizer.decode(row.responses[0]) == " blue<|im_end|>"
    assert chat_tokenizer.decode(row.responses[1]) == " black<|im_end|>"
    assert len(row.responses[0]) == 2


def test_an_implicit_prompt_ends_at_a_token_boundary(pairs: Pairs, chat_tokenizer: Any) -> None:
    row = first(pairs([{"chosen": "The sky is blue", "rejected": "The sky is black"}]), chat_tokenizer)
    assert pieces(row.prompt, chat_tokenizer) == ["<|bos|>", "The", " sky", " is"]
    assert pieces(row.responses[0], chat_tokenizer) == [" blue", "<|im_end|>"]


def test_plain_text_is_learned_whole_behind_a_start_token(
    jsonl: Any, byte_tokenizer: Any, chat_tokenizer: Any
) -> None:
    settings = DataSettings(kind="demonstrations", source=str(jsonl([{"text": "blue"}])))
    by_bytes = first(settings, byte_tokenizer)
    assert by_bytes.prompt.tolist() == [1]  # no BOS: the end of what came before begins the text
    assert by_bytes.responses[0].tolist() == [*ids_of_bytes("blue"), 1]
    assert first(settings, chat_tokenizer).prompt.tolist() == [1]  # BOS


def test_an_eos_written_by_the_user_is_not_doubled(pairs: Pairs, byte_tokenizer: Any) -> None:
    row = first(pairs([{"prompt": "p", "chosen": "a</s>", "rejected": "b"}]), byte_tokenizer)
    assert row.responses[0].tolist() == [*ids_of_bytes("a"), 1]


def test_bos_written_by_the_user_is_refused(pairs: Pairs, chat_tokenizer: Any) -> None:
    rows = [
        {"prompt": "The sky", "chosen": " is", "rejected": " not"},
        {"prompt": "<|bos|>The sky", "chosen": " is", "rejected": " not"},
        {"prompt": "The sky", "chosen": "<|bos|> is", "rejected": " not"},
    ]
    with pytest.raises(Failure) as caught:
        load_examples(pairs(rows), chat_tokenizer)
    assert [(cause.code, cause.line) for cause in caught.value.causes] == [("E708", 2), ("E708", 3)]


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ bos_token }}{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}", "E708"),
        ("{% for m in messages %}{{ messages | length }}{{ m.content }}{% endfor %}", "E708"),
        ("{{ raise_exception('no system turn') }}", "E702"),
        ("{% for m in messages %}", "E709"),
    ],
)
def test_a_template_that_can_t_be_used(
    pairs: Pairs, chat_tokenizer: Any, tmp_path: Path, template: str, code: str
) -> None:
    (tmp_path / "t.jinja").write_text(template)
    rows = [{"prompt": [ASK], "chosen": [BLUE], "rejected": [GREEN]}]
    with pytest.raises(Failure) as caught:
        load_examples(pairs(rows, chat_template=str(tmp_path / "t.jinja")), chat_tokenizer)
    assert caught.value.code == code


def test_conversations_without_a_template(pairs: Pairs, byte_tokenizer: Any, tmp_path: Path) -> None:
    rows = [{"prompt": [ASK], "chosen": [BLUE], "rejected": [GREEN]}]
    with pytest.raises(Failure, match="E709: the rows are conversations") as caught:
        load_examples(pairs(rows), byte_tokenizer)
    assert "data.chat_template" in str(caught.value.help)
    with pytest.raises(Failure, match="E709: the chat template cannot be read"):
        load_examples(pairs(rows, chat_template=str(tmp_path / "none")), byte_tokenizer)


def test_prompts_are_cut_on_the_left_but_for_bos(pairs: Pairs, chat_tokenizer: Any) -> None:
    rows = [{"prompt": "The sky is blue. The sky is", "chosen": " blue", "rejected": " green."}]
    data = load_examples(pairs(rows, max_length=6), chat_tokenizer)
    assert pieces(data[0].prompt, chat_tokenizer) == ["<|bos|>", " sky", " is"]
    assert pieces(data[0].responses[1], chat_tokenizer) == [" green", ".", "<|im_end|>"]
    assert (data.counts.prompts_cut, data.counts.completions_cut) == (1, 0)


def test_a_completion_too_long_alone_loses_its_end(pairs: Pairs, byte_tokenizer: Any) -> None:
    rows = [{"prompt": "pq", "chosen": "abcdef", "rejected": "x"}]
    data = load_examples(pairs(rows, max_length=5, max_cut=1), byte_tokenizer)
    assert data[0].prompt.tolist() == ids_of_bytes("q")
    assert [ids.tolist() for ids in data[0].responses] == [ids_of_bytes("abcd"), [*ids_of_bytes("x"), 1]]
    assert (data.counts.prompts_cut, data.counts.completions_cut) == (1, 1)
