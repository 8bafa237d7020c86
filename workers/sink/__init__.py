"""Where labels go: one immutable part a shard, created once."""

from workers.sink.create import commit, tidy
from workers.sink.part import commit_part, committed, encode_part, fetch_part, footer_of, read_part
from workers.sink.probe import probe

__all__ = [
    "commit",
    "commit_part",
    "committed",
    "encode_part",
    "fetch_part",
    "footer_of",
    "probe",
    "read_part",
    "tidy",
]
