"""Phi-2's tokenizer, from the slow files of the Phi folder or the fast one (SPEC.md §3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from schemas.outcome import CheckpointError, UsageError

FAST = "tokenizer.json"
SLOW = ("vocab.json", "merges.txt")
SETTINGS = "tokenizer_config.json"
CLEAN_UP = "clean_up_tokenization_spaces"
VOCABULARIES = ("vocab.json", "added_tokens.json")


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer folder as one fast tokenizer that pads with its end-of-text token.

    It runs no code of the folder's. Where the folder does not say whether decoding cleans up spaces
    before punctuation, it does, as in the authors' transformers 4.36.

    Raises:
        UsageError: no such folder.
        CheckpointError: it holds no tokenizer, one without an end-of-text token, or one that gives
            other ids than the folder's vocabulary.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no tokenizer folder {folder}")
    if not (folder / FAST).is_file() and not all((folder / name).is_file() for name in SLOW):
        raise CheckpointError(f"{folder} holds neither {FAST} nor {SLOW[0]} and {SLOW[1]}")
    settings, *vocabularies = [_read_object(folder / name) for name in (SETTINGS, *VOCABULARIES)]
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the tokenizers library raises Exception itself
        raise CheckpointError(f"{folder} holds no tokenizer that can be read") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise CheckpointError(f"{folder} holds a {type(tokenizer).__name__}, no byte-level BPE")
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"{folder} names no eos_token")
    ids = tokenizer.get_vocab()
    for name, vocabulary in zip(VOCABULARIES, vocabularies, strict=True):
        for token, number in vocabulary.items():
            if ids.get(token) != number:
                raise CheckpointError(
                    f"{folder / name} gives {token!r} the id {number}, its tokenizer "
                    f"{ids.get(token)}"
                )
    tokenizer.pad_token = tokenizer.eos_token
    if CLEAN_UP not in settings:
        tokenizer.clean_up_tokenization_spaces = True
    return tokenizer


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that may have had a say, for the manifest."""
    names = {FAST, *SLOW, *VOCABULARIES, SETTINGS, "special_tokens_map.json"}
    return [folder / name for name in sorted(names) if (folder / name).is_file()]


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return values
