"""Caption nouns out of clip art's titles, file names and keywords."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from workers.training.corpus.names import EmojiNames, plain

MOST_WORDS = 5
COLLECTION_TITLE = re.compile(
    r"collection|theme|icons|template|gramastar|untitled|unnamed|various cliparts|homes clipart|"
    r"svg road signs|^map symbols$|^drawing$|\(public domain\)|^clip ?art$",
    re.I,
)
_UNFIT = re.compile(
    r"sexy|nude|naked|erotic|nipple|breast|bra$|pantyhose|lingerie|thong|stripper|cannabis|marijuana|"
    r"swastika|nazi|hitler|gun shot|suicide|penis|vagina|f\*|crucif",
    re.I,
)
_JARGON = re.compile(
    r"\b(b ?(and|n) ?w|bw|black and white|colou?r(ed)?|lumen design|remix(ed)?|icons?|clip ?arts?|"
    r"svg|png|simple|version|vers|v|r|x|nr|num|illustration|outlined?|line ?art|md|mo|ver|"
    r"silhouette|contour|drawn with straight lines|drawing|architetto|stylized|generic|by|part|"
    r"body part|template|public domain|hand drawn|ganson|aj|bb|rollandin|various)\b"
)
_EDGE_WORDS = re.compile(r"^(a|an|the|of|with|and) |( (a|an|the|of|with|and|in|on|for|to))+$")
# Keywords that only say which shelf a drawing stands on.
_SHELVES = frozenset(
    "animal mammal bird insect fish food fruit vegetable drink beverage meal dessert meat protein "
    "plant flower tree people person man woman child music sport sports game toy vehicle "
    "transport transportation building house home tool weapon clothing computer hardware office "
    "education science medicine electronics holiday christmas easter party recreation sign symbol "
    "hash hotel warning caution danger cartoon theme symbols appicon tux linux simple game games "
    "shape nature weather art religion color colour black white red green blue yellow".split()
)


def words_of(text: str) -> str:
    """Letters only, split at digits, punctuation and camel case; no drawing jargon."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text)
    text = re.sub(r"\([^)]*\)|\[[^]]*\]|\S+@\S+|https?:\S+", " ", text)
    text = re.sub(r"[^a-z' ]+", " ", plain(re.sub(r"[_-]", " ", text)))
    text = _JARGON.sub(" ", text)
    words = [word.strip("'") for word in text.split()]
    return " ".join(word for word in words if len(word) > 1 or word == "a")


def clipart_name(
    title: str | None,
    stem: str,
    author: str | None,
    keywords: Sequence[str],
    vocabulary: Collection[str],
    names: EmojiNames,
) -> str | None:
    """A caption noun of at most five English words for a drawing, or None.

    A title counts where it shares a word's beginning with the file name (titles were copied from
    the drawing that an artist began with), else the file name speaks, without its author's name.
    Where neither is English, the emoji concept that it means in Italian, French or Spanish does,
    or that the only telling keyword means.
    """
    if any(_UNFIT.search(text) for text in (title or "", stem, *keywords)):
        return None
    own = {word[:4] for word in words_of(author or "").split() if len(word) > 2}
    from_stem = _trimmed(" ".join(w for w in words_of(stem).split() if w[:4] not in own))
    candidates = [from_stem]
    if title and not COLLECTION_TITLE.search(title):
        from_title = _trimmed(words_of(title))
        if {w[:3] for w in from_title.split()} & {w[:3] for w in from_stem.split()}:
            candidates.insert(0, from_title)
    known = {word for keyword in keywords for word in words_of(keyword).split()}
    for name in candidates:
        if _is_english(name, vocabulary, known):
            return name
    abroad = (_foreign_concept(name, vocabulary, names) for name in candidates)
    return next(filter(None, abroad), None) or _telling_keyword(keywords, names)


def _trimmed(name: str) -> str:
    shorter = _EDGE_WORDS.sub("", name).strip()
    return shorter if shorter == name else _trimmed(shorter)


def _is_english(name: str, vocabulary: Collection[str], keywords: Collection[str]) -> bool:
    """At most five words, of which the last and more than half are known."""
    words = name.split()
    if not words or len(words) > MOST_WORDS:
        return False
    known = [
        any(form in vocabulary or form in keywords for form in (word, word.removesuffix("s")))
        for word in words
    ]
    return known[-1] and 2 * sum(known) > len(known)


def _foreign_concept(name: str, vocabulary: Collection[str], names: EmojiNames) -> str | None:
    """The label that a foreign name means as a whole, or by its first word (the noun)."""
    first = name.split(" ")[0]
    return names.of_foreign(name) or (None if first in vocabulary else names.of_foreign(first))


def _telling_keyword(keywords: Sequence[str], names: EmojiNames) -> str | None:
    telling = {
        words_of(keyword): names.of_everyday(words_of(keyword))
        for keyword in keywords
        if plain(keyword) not in _SHELVES
    }
    meant = {keyword: label for keyword, label in telling.items() if label is not None}
    return next(iter(meant)) if len(set(meant.values())) == 1 else None


def english_words(texts: Sequence[str]) -> Counter[str]:
    """Words of two letters and more in a list of English texts, with their frequency."""
    return Counter(word for text in texts for word in re.findall(r"[a-z]{2,}", plain(text)))
