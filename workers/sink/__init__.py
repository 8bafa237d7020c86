"""Where labels go: one immutable part a shard, created once."""

from workers.sink.create import Answer, commit, create
from workers.sink.part import commit_part, committed, read_part
from workers.sink.probe import probe

__all__ = ["Answer", "commit", "commit_part", "committed", "create", "probe", "read_part"]
