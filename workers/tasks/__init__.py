"""What is asked of an image, and which columns its answer fills."""

from schemas.job import JobSpec
from workers.tasks.base import Task
from workers.tasks.caption import Caption

__all__ = ["Caption", "Task", "task_of"]


def task_of(job: JobSpec) -> Task:
    """The task that `job` names; `JobSpec` knows no others."""
    tasks = {Caption.name: Caption}
    return tasks[job.task](job.prompt)
