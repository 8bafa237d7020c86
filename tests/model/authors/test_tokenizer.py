"""A tokenizer folder is read as data, and says how it decodes."""

import json
import shutil
from pathlib import Path

import pytest

from schemas.outcome import CheckpointError
from tests.golden import DATA
from workers.model.authors.tokenizer import read_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the golden tokenizer's folder."""
    return Path(shutil.copytree(DATA / "tokenizer_tiny", tmp_path / "tokenizer"))


def configure(folder: Path, **values: object) -> None:
    """Change tokenizer_config.json; None takes a key out."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_bytes()) | values
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))


def test_no_code_of_the_folder_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a tokenizer class of its own is refused, nobody is asked, and nothing runs."""
    ran = folder / "ran"
    (folder / "tokenization_own.py").write_text(
        f"open({str(ran)!r}, 'w').close()\n"
        "from transformers import CodeGenTokenizer\n"
        "class OwnTokenizer(CodeGenTokenizer): pass\n"
    )
    configure(
        folder,
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]},
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(CheckpointError, match="no tokenizer that can be read"):
        read_tokenizer(folder)
    assert not ran.exists()


@pytest.mark.parametrize("said", [None, True, False])
def test_clean_up(said: bool | None, folder: Path) -> None:
    """A folder that does not speak of cleaning up spaces cleans up, as transformers 4.36 did."""
    configure(folder, clean_up_tokenization_spaces=said)
    assert read_tokenizer(folder).clean_up_tokenization_spaces is (said is not False)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
@pytest.mark.parametrize("name", ["added_tokens.json", "tokenizer_config.json", "vocab.json"])
def test_a_damaged_file_is_told(name: str, text: str, folder: Path) -> None:
    """A file of the folder that is no JSON object is a typed refusal, whichever it is."""
    (folder / name).write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=name):
        read_tokenizer(folder)


def test_a_damaged_fast_tokenizer_is_told(folder: Path) -> None:
    """So is a tokenizer.json that the tokenizers library refuses with an exception of its own."""
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CheckpointError, match="no tokenizer that can be read"):
        read_tokenizer(folder)
