"""What every task promises, whatever it asks."""

import argparse
import json
from typing import Any

import pyarrow as pa
import pytest

from schemas.asks import Part, Rank, Ranked, Reply, Write, Written
from schemas.job import JobSpec, TaskSpec
from schemas.outcome import PromptError, UsageError
from schemas.rows import row_schema
from tests.runs import job_spec
from workers.model.description import Description, checkpoint_folder, describe
from workers.tasks import TASKS, Item, Task, answer_columns, tasks_of
from workers.tasks.ask import Question
from workers.tasks.caption import Caption
from workers.tasks.choose import Choose
from workers.tasks.hateful import Hateful
from workers.tasks.tags import Tags

ITEM = Item("what a day\nfine\nrainy", "column:text")
FLAGS = {
    "caption": ["--prompt", "detailed"],
    "tags": ["--tags-top", "3", "--tags-threshold", "0.2"],
    "hateful": ["--threshold", "0.7"],
    "ask": ["--ask", "colour=Which colour is it?"],
    "choose": [],
}
WRITTEN = Written("an apple, red", (Part("an apple", -0.1), Part("red", -0.2)), True)


@pytest.fixture(scope="module")
def pocket() -> Description:
    return describe(checkpoint_folder("pocket"))


def asked(name: str, checkpoint: Description, flags: list[str]) -> Task:
    """The task that `flags` ask for."""
    parser = argparse.ArgumentParser()
    TASKS[name].add_flags(parser)
    (wish,) = TASKS[name].wishes(parser.parse_args(flags))
    return TASKS[name].resolved(checkpoint, **wish)


def replied(task: Task) -> Reply:
    """Some reply to what `task` asks."""
    ask = task.ask(ITEM)
    if isinstance(ask, Write):
        return WRITTEN
    return Ranked(tuple((place, -1.0 - place) for place in range(len(ask.among))))


def test_the_folder_is_the_list() -> None:
    """Every file of the folder that defines a task is one, and nothing else names them."""
    assert {
        "caption": Caption,
        "tags": Tags,
        "hateful": Hateful,
        "ask": Question,
        "choose": Choose,
    } == TASKS


@pytest.mark.parametrize("name", sorted(FLAGS))
def test_a_task_survives_its_job_and_its_command_line(name: str, pocket: Description) -> None:
    """What spec.json keeps of it, and the flags that it gives back, make the same task."""
    task = asked(name, pocket, FLAGS[name])
    job = job_spec(tasks=(task.spec,))
    again = JobSpec.from_json(json.loads(json.dumps(job.to_json())))
    assert again == job
    assert tasks_of(again) == (task,)
    for checkpoint in (pocket, None):
        assert asked(name, pocket, task.flags(checkpoint)) == task


@pytest.mark.parametrize("name", sorted(FLAGS))
def test_a_row_has_just_the_columns_of_its_schema(name: str, pocket: Description) -> None:
    """A labelled row fills them all; a failed one lacks those that are answers, and no other."""
    task = asked(name, pocket, FLAGS[name])
    fields = [field.name for field in task.schema.columns]
    labelled, failed = task.columns(replied(task), ITEM), task.columns(None, ITEM)
    assert sorted(labelled) == sorted(failed) == sorted(fields)
    assert None not in labelled.values()
    assert [key for key in fields if failed[key] is None] == answer_columns([task])
    pa.Table.from_pylist([labelled, failed], schema=pa.schema(task.schema.columns)).validate()
    assert task.shown(labelled)


def test_all_tasks_fit_into_one_row(pocket: Description) -> None:
    """No two tasks have a column in common, so that any of them can be asked together."""
    tasks = [asked(name, pocket, FLAGS[name]) for name in FLAGS]
    schema = row_schema([task.schema for task in tasks])
    assert len(set(schema.names)) == len(schema.names)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (TaskSpec("poetry", {}), "task 'poetry': one of ask, caption, choose, hateful, tags"),
        (TaskSpec("caption", {"prompt": "<ImageHere>"}), "no such options"),
        (TaskSpec("caption", {"prompt": "<ImageHere>", "mood": 1}), "no such options"),
        (TaskSpec("tags", {}, version=7), "columns of version 7 there, and here of version 1"),
    ],
)
def test_a_task_of_another_program_is_refused(spec: TaskSpec, why: str) -> None:
    """A job that asks what this program does not know is one sentence."""
    with pytest.raises(UsageError, match=why):
        tasks_of(job_spec(tasks=(spec,)))


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--ask", "no question"], "is not NAME="),
        (["--ask", "1st=what?"], "letters, digits"),
        (["--ask", "a b=what?"], "letters, digits"),
        (["--ask", "a= "], "--ask a: the question is empty"),
        (["--ask", "a=<ImageHere><ImageHere>?"], "2 times"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(
    flags: list[str], why: str, pocket: Description
) -> None:
    """A name that no column can have, an empty question, one with two images."""
    with pytest.raises(UsageError, match=why):
        asked("ask", pocket, flags)


def test_a_caption_is_brief_detailed_or_what_somebody_asks(pocket: Description) -> None:
    """The words are the checkpoint's question and a longer answer; all else is a question, and one
    that says where the image stands is the whole prompt.
    """
    brief = asked("caption", pocket, [])
    assert brief == Caption(pocket.generation.caption_prompt, pocket.generation.max_new_tokens)
    detailed = asked("caption", pocket, ["--prompt", "detailed"])
    assert isinstance(detailed, Caption)
    assert detailed.max_new_tokens > pocket.generation.max_new_tokens
    whole = asked("caption", pocket, ["--prompt", "what is <ImageHere>"])
    assert isinstance(whole, Caption)
    assert whole.prompt == "what is <ImageHere>"
    with pytest.raises(PromptError, match="empty"):
        asked("caption", pocket, ["--prompt", " "])


def test_a_long_answer_to_another_question_is_not_called_detailed(pocket: Description) -> None:
    """The flags of a prompt that only holds the words of the detailed one ask that prompt."""
    prompt = "<ImageHere> Describe this image in detail. In French."
    assert Caption(prompt, 100).flags(pocket) == ["--prompt", prompt]


def test_braces_in_a_prompt_are_what_they_are(pocket: Description) -> None:
    """`{text}` in a user's own prompt is no place for a text."""
    for task in (
        asked("caption", pocket, ["--prompt", "say {text}"]),
        asked("ask", pocket, ["--ask", "a=say {text}"]),
    ):
        assert task.ask(ITEM).prompt.text is None
        assert not task.reads_text


def columns(task: Task, reply: Reply) -> dict[str, Any]:
    return task.columns(reply, ITEM)


def test_the_model_is_asked_for_just_what_is_kept(pocket: Description) -> None:
    """Of a vocabulary no more tags than wanted, and none below the threshold."""
    task = Tags("<ImageHere>", 5, ("a", "b"), 3, 0.25)
    ask = task.ask(ITEM)
    assert isinstance(ask, Rank)
    assert (ask.among, ask.top, ask.least, ask.ends) == (("a", "b"), 3, 0.25, None)
