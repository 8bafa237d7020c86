"""Whether a prompt fits into a checkpoint's context, told without its weights.

A driver asks before it writes anything; `workers.model.wording` asks again with the texts.
"""

from __future__ import annotations

from tokenizers import Tokenizer

from schemas.asks import TEXT_PLACE
from schemas.job import IMAGE_PLACEHOLDER
from schemas.outcome import CheckpointError, PromptError
from workers.model.description import Description

TOKENIZER = "tokenizer.json"


def require_room(checkpoint: Description, prompt: str, new_tokens: int) -> None:
    """A prompt, without the text that may stand in it, must fit with the image and the answer.

    Raises:
        PromptError: it does not.
        CheckpointError: the folder's tokenizer cannot be read.
    """
    context = checkpoint.config.language.max_position_embeddings
    room = context - checkpoint.config.num_query_tokens - new_tokens
    pieces = prompt.replace(TEXT_PLACE, "").split(IMAGE_PLACEHOLDER)
    if sum(len(piece.encode()) for piece in pieces) <= room:
        return  # a token is a byte at least
    file = checkpoint.folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # whatever the library raises of a bad file
        raise CheckpointError(f"{file} is no tokenizer: {error}") from error
    tokens = sum(len(tokenizer.encode(piece, add_special_tokens=False)) for piece in pieces)
    if tokens > room:
        raise PromptError(
            f"a prompt of {tokens} tokens, the image's {checkpoint.config.num_query_tokens} and "
            f"{new_tokens} of the answer do not fit into the model's {context} positions; give a "
            "shorter prompt"
        )
