"""How the authors' demos ask, by stage (SPEC.md §4.1), and when the answer ends (§5)."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from workers.model.prompts import (
    DEMO_TEMPLATE,
    END_OF_ANSWER,
    INSTRUCTION_TEMPLATE,
    GenerationSettings,
)


def generation_settings(stage_four: bool, tokenizer: PreTrainedTokenizerBase) -> GenerationSettings:
    """The demo's template and a question that asks for a short caption.

    An answer ends at `<|endoftext|>` or, as in the authors' Chat, at `###`; what would follow it is
    no part of the answer.
    """
    question = "Briefly describe this image."
    turn = tokenizer(END_OF_ANSWER, add_special_tokens=False)["input_ids"]
    stops = [tokenizer.eos_token_id, *(turn if len(turn) == 1 else [])]
    return GenerationSettings(
        prompt_template=INSTRUCTION_TEMPLATE if stage_four else DEMO_TEMPLATE,
        caption_question=f"[caption] {question}" if stage_four else question,
        eos_token_ids=tuple(stops),
    )
