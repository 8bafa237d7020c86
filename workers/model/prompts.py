"""Where the picture stands in a prompt, and what of an answer is the answer (SPEC.md §4, §5)."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.job import IMAGE_PLACEHOLDER
from schemas.outcome import PromptError

QUESTION_PLACE = "{question}"

# The authors' strings, each with the blank at its end (SPEC.md §4.1).
HUMAN_TEMPLATE = "###Human: <Img><ImageHere></Img> {question}###Assistant: "
"""Stage 3's training, and the authors' evaluation of every stage."""
DEMO_TEMPLATE = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I "
    f"provide it to you. Please answer my questions.{HUMAN_TEMPLATE}"
)
"""The demo of stages 1 to 3."""
INSTRUCTION_TEMPLATE = "<s>[INST] <Img><ImageHere></Img> {question} [/INST]"
"""Stage 4's demo."""

END_OF_ANSWER = "###"
"""What every trained answer ends with, and the authors' Chat stops at."""
END_MARKS = (END_OF_ANSWER, "</s>")
"""Whatever follows one of these is no longer the answer."""


@dataclass(frozen=True)
class GenerationSettings:
    """How a checkpoint wants to be asked, and when it has said enough."""

    prompt_template: str
    """Holds `<ImageHere>` and `{question}` once each (SPEC.md §4.1)."""
    caption_question: str
    eos_token_ids: tuple[int, ...]
    max_new_tokens: int = 20

    @property
    def caption_prompt(self) -> str:
        return resolve_prompt(self.caption_question, self.prompt_template)


def resolve_prompt(text: str, template: str) -> str:
    """The whole prompt: `text` itself if it says where the image stands, else set into `template`.

    Raises:
        PromptError: `text` is blank, or holds more than one image place.
    """
    if not text.strip():
        raise PromptError("the prompt is empty; give a question, or leave --prompt out")
    places = text.count(IMAGE_PLACEHOLDER)
    if places > 1:
        raise PromptError(
            f"the prompt holds {IMAGE_PLACEHOLDER} {places} times; one image has one place"
        )
    return text if places else template.replace(QUESTION_PLACE, text)


def clean_answer(text: str) -> str:
    """What the model answered, without the marks of turns around it (SPEC.md §5)."""
    for mark in END_MARKS:
        text = text.split(mark)[0]
    answer = text.replace("<s>", "")
    return answer.split("[/INST]")[-1].split("Assistant:")[-1].strip()
