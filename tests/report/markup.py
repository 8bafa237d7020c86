"""A page as its tags say it is: what a test needs to look into, and what must hold of any HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


@dataclass
class Element:
    """One element, its children and texts in their order."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """The elements below with this tag, and with these attributes among others; `class_` is
        one of its classes.
        """
        found = []
        for child in self.children:
            classes = child.attributes.get("class", "").split()
            rest = {k: v for k, v in attributes.items() if k != "class_"}
            if (
                tag in ("", child.tag)
                and attributes.get("class_", "") in ("", *classes)
                and rest.items() <= child.attributes.items()
            ):
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def at(self, name: str) -> Element:
        """The element below whose id it is."""
        (found,) = (one for one in self.all() if one.attributes.get("id") == name)
        return found

    @property
    def text(self) -> str:
        """All text within, white space joined."""
        return " ".join(" ".join(self.texts + [child.text for child in self.children]).split())


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]
        self.doctypes: list[str] = []

    def handle_decl(self, decl: str) -> None:
        self.doctypes.append(decl)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].texts.append(data)


def parsed(page: str) -> Element:
    """The page's `html` element; an AssertionError where tags do not close what they opened, an
    attribute or an id is there twice, or it is not declared as HTML 5.
    """
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert builder.open == [builder.root], f"never closed: {builder.open[-1].tag}"
    assert builder.doctypes == ["DOCTYPE html"]
    (root,) = builder.root.children
    ids = [element.attributes["id"] for element in root.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids)), "an id is there twice"
    return root
