"""What the model is asked about one image, and what it replies: between tasks and the model."""

from dataclasses import dataclass

from schemas.outcome import UsageError

TEXT_PLACE = "{text}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands around the image."""

    template: str
    """Holds `<ImageHere>` once."""
    text: str | None = None
    """What stands at the one `{text}`: cut at its end where the whole does not fit into the
    context. None: `template` is all, whatever it holds."""


@dataclass(frozen=True, slots=True)
class Write:
    """Go on after the prompt with the most likely token, again and again."""

    prompt: Prompt
    max_new_tokens: int
    """At least 1."""
    separator: str = ""
    """One ASCII sign that ends a part of the answer; "": the whole answer is the one part."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; at least 1 is written")
        if len(self.separator) > 1 or not self.separator.isascii():
            raise UsageError(f"{self.separator!r} separates nothing: give one ASCII sign")


@dataclass(frozen=True, slots=True)
class Rank:
    """Say how likely given answers are."""

    prompt: Prompt
    among: tuple[str, ...]
    """The answers, no two the same, none empty."""
    top: int | None = None
    """Only so many, the most likely ones; None is all."""
    least: float = 0.0
    """Only answers of at least this probability, 0 to 1."""
    ends: tuple[str, ...] | None = None
    """An answer counts with what may follow it, one of these; empty is whatever follows, None the
    tokens that end the checkpoint's answers."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for answer in self.among:
            if not answer or answer in seen:
                raise UsageError(f"{answer!r} is no answer to rank: empty, or there already")
            seen.add(answer)
        if self.top is not None and self.top < 1:
            raise UsageError(f"the {self.top} most likely answers: at least 1")
        if not 0 <= self.least <= 1:
            raise UsageError(f"answers of at least the probability {self.least}: give 0 to 1")


Ask = Write | Rank


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a written answer."""

    text: str
    """Without the marks of turns and the separator around it, stripped."""
    logprob: float
    """Natural log-probability of its tokens, given all before."""


@dataclass(frozen=True, slots=True)
class Written:
    """The reply to `Write`."""

    text: str
    """The whole answer, without the marks of turns around it (SPEC.md §5)."""
    parts: tuple[Part, ...]
    whole: bool
    """Whether the last part came to its end before `max_new_tokens`."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The reply to `Rank`."""

    scores: tuple[tuple[int, float], ...]
    """(place in `among`, natural log-probability), the most likely first, equals in their order."""


Reply = Written | Ranked
