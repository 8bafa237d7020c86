"""The pocket checkpoint's tokenizer: GPT-2's byte-level BPE as Phi-2 has it, with fewer merges."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from workers.model.prompts import END_OF_ANSWER

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE learnt from `texts`; `<|endoftext|>` is id 0, `###` is one plain token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(END_OF_ANSWER), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
    )


def end_of_answer_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id of `###`, which ends every answer (SPEC.md §4.1)."""
    ids: list[int] = tokenizer(END_OF_ANSWER, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise ValueError(f"{END_OF_ANSWER} must be one token, not {len(ids)}")
    return ids[0]
