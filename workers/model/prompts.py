"""Where the picture stands in a prompt, and what of an answer is the answer (SPEC.md §4, §5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from unicodedata import category

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

_LINE_ENDS = ("Cc", "Zl", "Zp")

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


_MARKS = re.compile(
    # No two \s* meet: a run of blanks is tried once, and not each way in which it can be parted.
    r"<\s*(?:/\s*)?(?:img|imagehere|s)\s*>|<\|[^|>]*\|>|\[\s*(?:/\s*)?inst\s*\]"
    r"|(?:human|assistant)\s*:",
    re.IGNORECASE,
)
_BRACKETS = str.maketrans({"<": "(", ">": ")", "[": "(", "]": ")", "|": None, ":": " "})
_CONTRACTED = re.compile(r"(?<=\w)'(?=(?:s|t|d|m|re|ve|ll)\b)", re.IGNORECASE)
_HELD = "\ue000"
"""For a moment, where an apostrophe stays."""


def quoted(text: str) -> str:
    """`text` as it can stand in a prompt between two `'` without getting out.

    What would be the mark of a turn, of an image or of the text's end is put in other signs, and an
    apostrophe that could end the quotation becomes ’. Words, contractions among them, stay as they
    are (SPEC.md §8 has the text verbatim).
    """
    line = "".join(" " if category(sign) in _LINE_ENDS else sign for sign in text)
    line = re.sub("#{2,}", "#", line.replace(_HELD, " "))
    line = _MARKS.sub(lambda mark: mark[0].translate(_BRACKETS), line)
    line = _CONTRACTED.sub(_HELD, line.strip()).replace("'", "’").replace(_HELD, "'")
    return f"{line} " if line.endswith("#") else line  # ### may follow


def clean_answer(text: str) -> str:
    """What the model answered, without the marks of turns around it (SPEC.md §5)."""
    for mark in END_MARKS:
        text = text.split(mark)[0]
    answer = text.replace("<s>", "")
    return answer.split("[/INST]")[-1].split("Assistant:")[-1].strip()
