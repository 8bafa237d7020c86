"""What is asked of an image, and which columns its answer fills: one file a task.

base.py      what a task is
caption.py   what the picture shows, in a sentence
tags.py      what it shows, in words with scores
hateful.py   how likely it is a hateful meme
ask.py       a question of the user's own
choose.py    which of an image's own answers fits a question about it
"""

from importlib import import_module
from pkgutil import iter_modules

from schemas.job import JobSpec
from schemas.outcome import UsageError
from workers.tasks.base import Exhibit, Item, Task, answer_columns

__all__ = ["TASKS", "Exhibit", "Item", "Task", "answer_columns", "tasks_of"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

TASKS: dict[str, type[Task]] = {task.name: task for task in Task.__subclasses__()}
"""All there are, by name."""


def tasks_of(job: JobSpec) -> tuple[Task, ...]:
    """The tasks of `job`, in its order. Raises UsageError for one that is not known here."""
    tasks = []
    for spec in job.tasks:
        task = TASKS.get(spec.name)
        if task is None:
            raise UsageError(f"task {spec.name!r}: one of {', '.join(sorted(TASKS))}")
        if spec.version != task.version:
            raise UsageError(
                f"task {spec.name!r} has columns of version {spec.version} there, and here of "
                f"version {task.version}: use the program that wrote them, or start afresh with "
                "--new-run"
            )
        try:
            tasks.append(task(**spec.options))
        except TypeError as error:
            raise UsageError(f"task {spec.name!r} has no such options: {error}") from error
    return tuple(tasks)
