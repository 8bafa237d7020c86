"""What an emoji is called, and which emoji a free name means for sure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COUNTRY_FLAGS = {98, 99}
_COMPONENTS = {32, 33}  # skin tones and hair
_SHORTCODE_SETS = ("cldr", "emojibase", "github", "iamcal", "joypixels")
_ARTISTS_LANGUAGES = ("it", "fr", "es")
_LONG_FAMILY = re.compile(r"^(family|kiss|couple with heart): ")
_ADJECTIVES = frozenset(
    "red green blue yellow black white pink purple brown grey gray orange golden old small little "
    "tiny big large cute simple fancy stylized cartoon happy classic generic dancing funny flying "
    "running sitting standing shiny glossy realistic vintage antique modern round plain basic "
    "coloured colored my open closed fresh ripe whole single crazy sleeping wooden toy".split()
)


@dataclass(frozen=True)
class Concept:
    """One emoji without skin tone: its code points, caption noun, tags and group."""

    hexcode: str
    label: str
    tags: tuple[str, ...]
    group: int


def plain(text: str) -> str:
    """Lower-case ASCII with single spaces; curly quotes go, accents are folded."""
    text = text.replace("’", "'").replace("“", "").replace("”", "").replace("&", " and ")
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"\s+", " ", folded).strip().lower()


def slug(text: str) -> str:
    """Letters and digits only: the key under which spellings of one name meet."""
    return re.sub(r"[^a-z0-9]", "", plain(text))


def file_key(hexcode: str) -> str:
    """Code points as image files are named by: lower case, without the variation selector."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def caption_label(label: str) -> str:
    """An emoji label as a caption noun: 'man: red hair' becomes 'man with red hair'."""
    text = re.sub(r"\s*\([^)]*\)", "", plain(label))
    head, _, tail = text.partition(": ")
    if not tail:
        return text
    if tail == "bald":
        return f"bald {head}"
    return f"{head} {tail}" if head == "keycap" or "facing" in tail else f"{head} with {tail}"


_TAG_JUNK = frozenset(
    "hash icon icons unsorted clipart clip svg theme image sign symbol menu part mime-types "
    "application applications filesystem filesystems action actions blend swap".split()
)


def clean_tags(tags: Iterable[str], limit: int = 8) -> tuple[str, ...]:
    """Lower-case ASCII words or short phrases, without repeats, abbreviations or file names."""
    kept: list[str] = []
    for tag in tags:
        text = plain(tag.replace("_", " "))
        if (
            re.fullmatch(r"[a-z][a-z' -]{2,24}", text)
            and re.search(r"[aeiouy]", text)
            and text not in _TAG_JUNK
            and text not in kept
        ):
            kept.append(text)
    return tuple(kept[:limit])


class EmojiNames:
    """The emoji concepts of emojibase, and which concept a free name means for sure.

    aliases.json holds what people wrote: `everyday` names, `ambiguous` names that mean no concept
    outside emoji, and `icons`, the names in packages without code points that are spelt their own
    way (null: the drawing shows something else).
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        shortcodes: Iterable[Mapping[str, Any]],
        spoken_abroad: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """`data`, `shortcodes`: emojibase's; `spoken_abroad`: CLDR's annotations of languages."""
        found = [concept for entry in data if (concept := _concept(entry)) is not None]
        self.by_file_key = {file_key(concept.hexcode): concept for concept in found}
        self._labels = {slug(concept.label): concept.label for concept in found}
        meanings: dict[str, set[str]] = {}
        for codes in shortcodes:
            for hexcode, names in codes.items():
                if file_key(hexcode) in self.by_file_key:
                    label = self.by_file_key[file_key(hexcode)].label
                    for name in [names] if isinstance(names, str) else names:
                        meanings.setdefault(slug(name), set()).add(label)
        self._shortcodes = _unambiguous(meanings)
        self._foreign = self._read_foreign(spoken_abroad)
        written = json.loads(Path(__file__).with_name("aliases.json").read_text("utf-8"))
        self._everyday = {slug(alias): label for alias, label in written["everyday"].items()}
        self._ambiguous = {slug(name) for name in written["ambiguous"]}
        self._icons: Mapping[str, Mapping[str, str | None]] = written["icons"]

    @classmethod
    def from_packages(cls, emojibase: Mapping[str, bytes], cldr: Mapping[str, bytes]) -> EmojiNames:
        """Read the JSON files of the packages emojibase-data and cldr-annotations-full."""
        data = json.loads(emojibase["en/data.json"])
        codes = [json.loads(emojibase[f"en/shortcodes/{name}.json"]) for name in _SHORTCODE_SETS]
        abroad = [cldr_entries(cldr, language) for language in _ARTISTS_LANGUAGES]
        return cls(data, codes, abroad)

    def _read_foreign(self, spoken: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        meanings: dict[str, set[str]] = {}
        for entries in spoken:
            for character, entry in entries.items():
                key = file_key("-".join(f"{ord(part):x}" for part in character))
                if key in self.by_file_key:
                    for name in entry.get("tts", ()):
                        meanings.setdefault(slug(name), set()).add(self.by_file_key[key].label)
        return _unambiguous(meanings)

    def words(self) -> Iterable[str]:
        """Every label, tag and everyday name."""
        for concept in self.by_file_key.values():
            yield from (concept.label, *concept.tags)
        yield from self._everyday.values()

    def of_icon(self, style: str, icon: str) -> str | None:
        """The label that an emoji icon's name means: as written down, spelt, or a shortcode."""
        written = self._icons.get(style, {})
        if icon in written:
            return written[icon]
        key = slug(icon)
        return self._labels.get(key) or self._shortcodes.get(key)

    def is_label(self, icon: str) -> bool:
        """Whether an icon's name is spelt as a label is."""
        return slug(icon) in self._labels

    def of_foreign(self, name: str) -> str | None:
        """The label that an Italian, French or Spanish name is."""
        key = slug(name)
        return None if key in self._ambiguous else self._foreign.get(key)

    def of_everyday(self, name: str) -> str | None:
        """The label that clip art's name means; articles, adjectives and plurals are forgiven."""
        words = re.sub(r"^(a|an|the) ", "", plain(name)).split()
        while words:
            key = slug(" ".join(words))
            for spelling in (key, key.removesuffix("s"), key + "s"):
                if spelling in self._ambiguous:
                    return None
                found = (
                    self._labels.get(spelling)
                    or self._everyday.get(spelling)
                    or self._shortcodes.get(spelling)
                )
                if found:
                    return found
            if words[0] not in _ADJECTIVES:
                return None
            words = words[1:]
        return None


def keywords(
    data: Sequence[Mapping[str, Any]], spoken: Mapping[str, Any]
) -> dict[str, frozenset[str]]:
    """For each label every word or phrase that emojibase and CLDR know it under.

    `data` is emojibase's, `spoken` CLDR's annotations in the same language.
    """
    of_key = {
        file_key("-".join(f"{ord(part):x}" for part in character)): entry
        for character, entry in spoken.items()
    }
    known: dict[str, frozenset[str]] = {}
    for entry in data:
        concept = _concept(entry)
        if concept is not None:
            told = of_key.get(file_key(concept.hexcode), {})
            words = (*entry.get("tags", ()), *told.get("default", ()), *told.get("tts", ()))
            known[concept.label] = frozenset(plain(word) for word in words) - {""}
    return known


def cldr_entries(files: Mapping[str, bytes], language: str) -> Mapping[str, Any]:
    """CLDR's annotations in a language: for each character its keywords and spoken name."""
    content = json.loads(files[f"annotations/{language}/annotations.json"])
    entries: Mapping[str, Any] = content["annotations"]["annotations"]
    return entries


def _unambiguous(meanings: Mapping[str, set[str]]) -> dict[str, str]:
    return {key: next(iter(labels)) for key, labels in meanings.items() if len(labels) == 1}


def _concept(entry: Mapping[str, Any]) -> Concept | None:
    """A concept from an emojibase entry; None for country flags, components and long families."""
    group, subgroup = entry.get("group"), entry.get("subgroup")
    label = str(entry["label"])
    if group is None or subgroup in _COUNTRY_FLAGS or subgroup in _COMPONENTS:
        return None
    if _LONG_FAMILY.match(label):
        return None
    tags = clean_tags(entry.get("tags", ()))
    return Concept(str(entry["hexcode"]), caption_label(label), tags, int(group))
