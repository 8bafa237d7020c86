"""The training corpus: how drawings are rendered, named, kept apart and counted."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jobs import prepare_corpus
from workers.training.corpus import packages
from workers.training.corpus.build import HELD_OUT, distinct, hold_out
from workers.training.corpus.clipart import openclipart
from workers.training.corpus.drawings import Drawing, IconSet, icons_by_label
from workers.training.corpus.fetch import CorpusError, fetch, members
from workers.training.corpus.names import EmojiNames, caption_label, clean_tags, keywords
from workers.training.corpus.photos import read_photos
from workers.training.corpus.render import SIDE, fit, is_blank, on_white, render_svg
from workers.training.corpus.titles import clipart_name, words_of
from workers.training.corpus.yardsticks import read_equals, write_fxemoji

EMOJIBASE = [
    {"label": "red apple", "hexcode": "1F34E", "group": 4, "subgroup": 42, "tags": ["fruit"]},
    {"label": "cow", "hexcode": "1F404", "group": 3, "subgroup": 34},
    {"label": "cow face", "hexcode": "1F42E", "group": 3, "subgroup": 34},
    {"label": "musical keyboard", "hexcode": "1F3B9", "group": 7, "subgroup": 68},
    {"label": "keyboard", "hexcode": "2328-FE0F", "group": 7, "subgroup": 70},
    {"label": "airplane", "hexcode": "2708-FE0F", "group": 5, "subgroup": 56},
    {"label": "notebook", "hexcode": "1F4D3", "group": 7, "subgroup": 72},
    {"label": "bird", "hexcode": "1F426", "group": 3, "subgroup": 35},
    {"label": "flag: Italy", "hexcode": "1F1EE-1F1F9", "group": 9, "subgroup": 98},
    {"label": "light skin tone", "hexcode": "1F3FB", "group": 2, "subgroup": 32},
    {"label": "family: man, boy", "hexcode": "1F468-200D-1F466", "group": 1, "subgroup": 30},
]
SHORTCODES = [{"1F34E": ["apple", "red_apple"], "1F42E": "cow"}, {"1F404": "cow2"}]
ITALIAN = {"🐄": {"tts": ["mucca"]}, "✈": {"tts": ["aeroplano"]}}


@pytest.fixture(scope="module")
def names() -> EmojiNames:
    return EmojiNames(EMOJIBASE, SHORTCODES, [ITALIAN])


def square(attributes: str) -> str:
    """A red square, drawn over the whole of its page."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>'
        '<rect width="1000" height="1000" fill="#f00"/></svg>'
    )


def tgz(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def deb(path: Path, files: dict[str, bytes]) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    tree = path.with_suffix("")
    control = "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m <m@localhost>\n"
    for name, content in {**files, "DEBIAN/control": f"{control}Description: d\n".encode()}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    subprocess.run(["dpkg-deb", "--build", tree, path], check=True, capture_output=True)
    return path


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def drawing(path: str, colour: tuple[int, int, int], **changes: str | None) -> Drawing:
    pixels = np.full((SIDE, SIDE, 4), (*colour, 255), dtype=np.uint8)
    package = packages.OPENCLIPART_SVG
    some = Drawing(pixels, package, path, "clipart", "x", None, None, (), None, "pd", "A")
    return replace(some, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ['width="100" height="100"', 'width="75pt" height="75pt"'])
def test_a_drawing_fills_its_square_whatever_its_unit(size: str) -> None:
    """Sizes in pixels and in points both render; nothing of the page is lost."""
    pixels = fit(render_svg(square(size)), trim=False)
    assert pixels.shape == (SIDE, SIDE, 4)
    assert (pixels == (255, 0, 0, 255)).all()


def test_fitting_keeps_the_aspect_and_the_edges_colour() -> None:
    """A wide drawing is centred between transparent bands, and its edges stay its own colour."""
    page = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    ImageDraw.Draw(page).rectangle((100, 150, 299, 249), fill=(255, 0, 0, 255))
    pixels = fit(page, trim=True)
    rows = np.flatnonzero(pixels[..., 3].max(axis=1))
    assert (rows[0], rows[-1]) == (SIDE // 4, SIDE * 3 // 4 - 1)
    assert (pixels[pixels[..., 3] > 0][:, :3] == (255, 0, 0)).all()
    assert (on_white(pixels)[0, 0] == 255).all()


def test_failed_renderings_are_told() -> None:
    """An empty page and a white page are blank; a drawing is not."""
    page = np.zeros((SIDE, SIDE, 4), dtype=np.uint8)
    assert is_blank(page)
    assert is_blank(np.full_like(page, 255))
    assert not is_blank(fit(render_svg(square('width="9" height="9"')), trim=False))


def test_an_icons_own_size_goes_before_the_sets(tmp_path: Path) -> None:
    """An icon that states its own size fills its square all the same."""
    body = '<path d="M0 0h72v72H0z" fill="#00f"/>'
    icons = {"width": 512, "height": 512, "icons": {"a": {"body": body, "width": 72, "height": 72}}}
    files = {"icons.json": icons, "chars.json": {"1f34e": "a"}, "metadata.json": {}}
    archive = tgz(tmp_path / "i.tgz", {k: json.dumps(v).encode() for k, v in files.items()})
    icon_set = IconSet.read(archive)
    assert icon_set.file_keys == {"a": "1f34e"}
    assert (icon_set.draw("a") == (0, 0, 255, 255)).all()


def test_a_wrong_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive that is not the pinned one stops the job with a sentence that names it."""
    for package in packages.PACKAGES:
        (tmp_path / package.archive).write_bytes(b"other")
    arguments = [str(tmp_path / "corpus"), "--downloads", str(tmp_path)]
    assert prepare_corpus.main(arguments) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert packages.NOTO.archive in message
    assert hashlib.sha256(b"other").hexdigest() in message
    assert not (tmp_path / "corpus").exists()


def test_a_file_in_the_way_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A CORPUS that is a file is one sentence and exit code 2; so is a wrong flag."""
    (tmp_path / "file").write_text("in the way")
    assert prepare_corpus.main([str(tmp_path / "file")]) == 2
    assert (
        capsys.readouterr().err == f"prepare_corpus: {tmp_path / 'file'} is a file, not a folder\n"
    )
    with pytest.raises(SystemExit, match="2"):
        prepare_corpus.main([str(tmp_path), "--download", "x", "--wrong"])
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without npm the message says that it is needed, and for what."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="npm is needed to download @iconify-json/noto"):
        fetch(packages.NOTO, tmp_path / "downloads")


def test_photos_are_cut_from_the_rows_of_sheets(tmp_path: Path) -> None:
    """A row of a sheet is one photo, row by row; the last sheet is the test part."""
    dice = np.random.default_rng(3)
    sheets = dice.integers(0, 255, (6, 2, 1024, 3), dtype=np.uint8)
    files = {
        f"{name}.png": png(Image.fromarray(sheet))
        for name, sheet in zip(
            [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"], sheets, strict=True
        )
    }
    files["train_lables.json"] = json.dumps([6, 9] * 5).encode()
    files["test_lables.json"] = json.dumps([3, 8]).encode()
    pixels, classes = read_photos(tgz(tmp_path / "c.tgz", files))
    assert pixels.shape == (12, 32, 32, 3)
    assert (pixels[11, 1, 2] == sheets[5, 1, 34]).all()
    assert classes[:2] + classes[-2:] == ["frog", "truck", "cat", "ship"]


@pytest.mark.parametrize(
    ("label", "noun"),
    [
        ("man: red hair", "man with red hair"),
        ("woman: bald", "bald woman"),
        ("keycap: #", "keycap #"),
        ("person running: facing right", "person running facing right"),
        ("A button (blood type)", "a button"),
        ("Japanese “reserved” button", "japanese reserved button"),
        ("piñata", "pinata"),
    ],
)
def test_labels_become_caption_nouns(label: str, noun: str) -> None:
    """A label is said in lower-case ASCII, without colons, brackets and quotes."""
    assert caption_label(label) == noun


def test_only_drawable_concepts_are_concepts(names: EmojiNames) -> None:
    """Country flags, skin tones and families by their members are left out."""
    labels = {concept.label for concept in names.by_file_key.values()}
    assert labels == {entry["label"] for entry in EMOJIBASE[:8]}
    assert "2328" in names.by_file_key


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Apple", "red apple"),
        ("a small green apple", "red apple"),
        ("apples", "red apple"),
        ("cow", "cow"),
        ("piano", "musical keyboard"),
        ("plane", "airplane"),
        ("bird", "bird"),
        ("notebook", None),
        ("boat", None),
        ("apple pie", None),
    ],
)
def test_everyday_names_mean_concepts(names: EmojiNames, name: str, label: str | None) -> None:
    """A label goes before a shortcode; adjectives and plurals are forgiven, doubt is not."""
    assert names.of_everyday(name) == label


def test_icons_spelt_their_own_way(names: EmojiNames) -> None:
    """What is written down goes before the spelling; each label has one icon."""
    icons = {"keyboard": "", "wiredkeyboard": "", "redapple": "", "apple": "", "cow": ""}
    assert icons_by_label(icons, "fxemoji", names) == {
        "keyboard": "wiredkeyboard",
        "red apple": "redapple",
        "cow": "cow",
    }


def test_tags_are_words() -> None:
    """Hash values, shelf marks and repeats are no tags."""
    assert clean_tags(["Fruit", "hash(0x8a09558)", "icon", "fruit", "red_apple", "xkcd"]) == (
        "fruit",
        "red apple",
    )


def test_keywords_are_emojibases_and_cldrs() -> None:
    """A label is known under its tags and CLDR's keywords and spoken name, lower case and plain."""
    spoken = {"🍎": {"default": ["Fruit", "Piñata"], "tts": ["red apple"]}, "✈": {"tts": ["jet"]}}
    known = keywords(EMOJIBASE, spoken)
    assert known["red apple"] == {"fruit", "pinata", "red apple"}
    assert known["airplane"] == {"jet"}
    assert known["cow"] == frozenset()
    assert "flag: Italy" not in known


def test_a_style_never_trained_on_is_written_with_names_and_tags(
    tmp_path: Path, names: EmojiNames
) -> None:
    """A line an icon in both files, in one order: accepted names; the same and then keywords, those
    of names that count as equal among them."""
    svg = square('viewBox="0 0 9 9"')
    icons = IconSet({"cow": svg, "bird": svg, "redapple": svg}, {}, {})
    known = {"cow": {"farm"}, "cow face": {"cow", "moo"}, "bird": {"bird", "fly"}}
    counts = write_fxemoji(tmp_path, icons, names, {"cow", "bird"}, known)
    assert counts == {"icons": 3, "matched": 3, "written": 2}
    named, tagged = (
        [json.loads(line) for line in (tmp_path / "fxemoji" / file).read_text().splitlines()]
        for file in ("annotations.jsonl", "tags.jsonl")
    )
    assert [line["image"] for line in named] == ["bird.png", "cow.png"]
    assert tagged == [
        {"image": "bird.png", "tags": ["bird", "fly"]},
        {"image": "cow.png", "tags": ["cow", "cow face", "farm", "moo"]},
    ]
    assert (tmp_path / "fxemoji" / "images" / "cow.png").is_file()


@pytest.mark.parametrize(
    ("title", "stem", "author", "keywords", "name"),
    [
        ("Apple 02 (B and W)", "apple_bw", "Gerald G.", [], "apple"),
        ("Clipart by Nicu Buculei - pear", "apple_nicu_buculei_01", "Nicu Buculei", [], "apple"),
        ("Sallite", "teacher_zazou", "zazou", [], "teacher"),
        ("Mucca", "mucca_architetto_01", "Architetto", [], "cow"),
        ("Zxqv", "zxqv", None, ["food", "apple"], "apple"),
        ("Zxqv", "zxqv", None, ["bird", "apple"], "apple"),
        ("Zxqv", "zxqv", None, ["bird"], None),
        ("Zxqv", "zxqv", None, ["plane", "apple"], None),
        ("Sexy teacher", "teacher", None, [], None),
    ],
)
def test_clip_art_is_named_by_what_can_be_believed(
    names: EmojiNames,
    title: str,
    stem: str,
    author: str | None,
    keywords: list[str],
    name: str | None,
) -> None:
    """Copied titles give way to file names, authors go, foreign names are translated."""
    assert clipart_name(title, stem, author, keywords, {"apple", "teacher"}, names) == name


def test_words_are_split_at_case_and_digits() -> None:
    """Camel case and digits part words; mail addresses vanish."""
    assert words_of("waterPolo2_ball me@example.org") == "water polo ball"


def clipart_svg(licence: str, shape: str) -> bytes:
    """A drawing with the metadata that openclipart's editors write."""
    return f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="http://purl.org/dc/elements/1.1/"
      xmlns:cc="http://web.resource.org/cc/" width="40pt" height="40pt"
      xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><metadata><rdf:RDF>
      <cc:Work rdf:about=""><dc:title>Apple</dc:title>
      <dc:creator><cc:Agent><dc:title>Ann &lt;ann@example.org&gt;</dc:title></cc:Agent></dc:creator>
      <cc:license rdf:resource="{licence}"/></cc:Work></rdf:RDF></metadata>{shape}</svg>""".encode()


def test_clip_art_is_free_and_renders_as_packaged(tmp_path: Path, names: EmojiNames) -> None:
    """Only drawings marked public domain come in, and only where both renderings agree."""
    free, other = "http://web.resource.org/cc/PublicDomain", "http://example.org/GPL"
    circle = '<circle cx="20" cy="20" r="15" fill="#080"/>'
    svgs = {
        "food/apple_1": clipart_svg(free, circle),
        "food/apple_2": clipart_svg(other, circle),
        "food/apple_3": clipart_svg(free, '<rect width="40" height="40" fill="#a00"/>'),
        "special/apple_4": clipart_svg(free, circle),
    }
    packaged = png(render_svg(svgs["food/apple_1"].decode(), width=100))
    share = "usr/share/openclipart"
    drawn = list(
        openclipart(
            deb(tmp_path / "s.deb", {f"{share}/svg/{k}.svg": v for k, v in svgs.items()}),
            deb(tmp_path / "p.deb", {f"{share}/png/{k}.png": packaged for k in svgs}),
            names,
            {"apple"},
        )
    )
    assert [(item.path, item.concept, item.author) for item in drawn] == [
        ("food/apple_1", "red apple", "Ann")
    ]


def test_links_are_not_read_twice(tmp_path: Path) -> None:
    """Only regular files come out of an archive, without npm's leading folder."""
    path = tgz(tmp_path / "a.tgz", {"a.txt": b"1"})
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("package/a.txt")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"1"))
        link = tarfile.TarInfo("package/b.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        archive.addfile(link)
    assert list(members(path, lambda name: name.endswith(".txt"))) == [("a.txt", b"1")]


def test_what_looks_held_out_is_not_trained_on() -> None:
    """A listed drawing is held out, its look-alike is gone, another stays; a copy counts once."""
    listed = json.loads(HELD_OUT.read_text())["openclipart-svg"][0]
    items = [
        drawing(listed, (200, 0, 0)),
        drawing("other/nearly_the_same", (206, 0, 0)),
        drawing("other/blue", (0, 0, 200)),
        drawing("other/blue_again", (0, 0, 200)),
    ]
    kept = hold_out(distinct(items))
    assert [(item.path, item.split) for item in kept] == [
        (listed, "held_out"),
        ("other/blue", "train"),
    ]


def test_the_packages_are_pinned_and_allowed() -> None:
    """Every package has a digest; none is a style that stays out of the project."""
    for package in packages.PACKAGES:
        assert len(bytes.fromhex(package.sha256)) == 32
        assert package.version in package.archive.replace("%3a", ":")
        assert not {"openmoji", "apple", "facebook"} & set(package.name.split("-"))
    assert len({package.archive for package in packages.PACKAGES}) == len(packages.PACKAGES)
    assert packages.FXEMOJI.use == "yardstick"


def test_equals_are_sets_of_their_own() -> None:
    """No label stands in two sets of equals, and equality goes both ways."""
    equals = read_equals()
    groups = json.loads(
        Path(packages.__file__).with_name("equals.json").read_text(encoding="utf-8")
    )
    assert len(equals) == sum(map(len, groups))
    assert all(label in equals[other] for label, others in equals.items() for other in others)
