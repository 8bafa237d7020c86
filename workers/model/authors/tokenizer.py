"""Phi-2's tokenizer, from the slow files of the Phi folder or the fast one (SPEC.md §3)."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from schemas.outcome import CheckpointError, UsageError

FAST = "tokenizer.json"
SLOW = ("vocab.json", "merges.txt")
VOCABULARIES = ("vocab.json", "added_tokens.json")


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer folder as one fast tokenizer that pads with its end-of-text token.

    Raises:
        UsageError: no such folder.
        CheckpointError: it holds no tokenizer, one without an end-of-text token, or one that gives
            other ids than the folder's vocabulary.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no tokenizer folder {folder}")
    if not (folder / FAST).is_file() and not all((folder / name).is_file() for name in SLOW):
        raise CheckpointError(f"{folder} holds neither {FAST} nor {SLOW[0]} and {SLOW[1]}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} holds no tokenizer that can be read") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise CheckpointError(f"{folder} holds a {type(tokenizer).__name__}, no byte-level BPE")
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"{folder} names no eos_token")
    ids = tokenizer.get_vocab()
    for name in VOCABULARIES:
        path = folder / name
        for token, number in json.loads(path.read_bytes()).items() if path.is_file() else ():
            if ids.get(token) != number:
                raise CheckpointError(
                    f"{path} gives {token!r} the id {number}, its tokenizer {ids.get(token)}"
                )
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that may have had a say, for the manifest."""
    names = {FAST, *SLOW, *VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json"}
    return [folder / name for name in sorted(names) if (folder / name).is_file()]
