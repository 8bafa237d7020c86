"""How an item, a commit and a run can fail.

BucketsightError                     exit 1
├── UsageError                       exit 2: the caller can mend it, the sentence says how
│   ├── CheckpointError                a model folder that is missing, incomplete or altered
│   ├── NewerFormatError               a document that a later program wrote
│   └── PromptError                    a prompt that cannot be put before the model
├── StoreError                       exit 75: the store did not answer in time; come again
├── ReplicaError                     exit 1: replicas do not start, or one shard keeps killing them
├── OutageError                      the store or the device fails on image after image
│   ├── StoreOutageError               exit 75: come again when the store, or the credentials, do
│   └── DeviceOutageError              exit 1
├── StoppedError                     exit 75: asked to stop; the same command goes on
│   └── LimitReachedError              exit 0: a night's limit is reached, the next one goes on
├── BusyError                        exit 75: another driver, or an erasure, is at work
├── RunFolderError                   exit 1: OUTPUT holds what no run of ours can have written
│   ├── DamagedPlanError               a page of the plan is missing or altered
│   └── ForeignPartError               a part's name is taken by somebody else's file
└── ItemError                        one item's failure; it becomes a row with its `code`
    ├── ReadError
    │   ├── NotFoundError              not_found
    │   ├── ForbiddenError             forbidden
    │   ├── ChangedSincePlanError      changed_since_plan
    │   ├── ReadFailedError            read_failed
    │   ├── TooManyBytesError          too_many_bytes
    │   ├── BadReferenceError          bad_reference
    │   └── BrokenContainerError       broken_container
    ├── ImageError
    │   ├── EmptyFileError             empty_file
    │   ├── NotAnImageError            not_an_image
    │   ├── TruncatedError             truncated
    │   ├── TooManyPixelsError         too_many_pixels
    │   └── DecodeFailedError          decode_failed
    ├── ModelError
    │   ├── OutOfMemoryError           out_of_memory
    │   └── ModelFailedError           model_failed
    └── ReplicaLostError
        ├── ReplicaCrashedError        replica_crashed
        └── TimedOutError              timed_out
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """What a job's process answers to its scheduler."""

    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    TOO_MANY_FAILED = 3
    INTERRUPTED = 75


class Status(StrEnum):
    """Column `status` of a row."""

    LABELLED = "labelled"
    FAILED = "failed"


class ErrorCode(StrEnum):
    """Column `error_code` of a failed row."""

    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    CHANGED_SINCE_PLAN = "changed_since_plan"
    READ_FAILED = "read_failed"
    TOO_MANY_BYTES = "too_many_bytes"
    BAD_REFERENCE = "bad_reference"
    BROKEN_CONTAINER = "broken_container"
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    TOO_MANY_PIXELS = "too_many_pixels"
    DECODE_FAILED = "decode_failed"
    OUT_OF_MEMORY = "out_of_memory"
    MODEL_FAILED = "model_failed"
    REPLICA_CRASHED = "replica_crashed"
    TIMED_OUT = "timed_out"


PASSING = frozenset(
    {
        ErrorCode.NOT_FOUND,
        ErrorCode.FORBIDDEN,
        ErrorCode.CHANGED_SINCE_PLAN,
        ErrorCode.READ_FAILED,
        ErrorCode.OUT_OF_MEMORY,
        ErrorCode.TIMED_OUT,
    }
)
"""What the store or the machine was at fault for, and may not be tomorrow. Whatever else fails lies
in the image, which a nightly run looks at again only when it changes."""


class BucketsightError(Exception):
    """Root of every error that this program raises itself."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class UsageError(BucketsightError):
    """The caller asked for something that cannot be done."""

    exit_code = ExitCode.USAGE


class NewerFormatError(UsageError):
    """A document that a later program wrote: no damage, and not to be understood here."""


class CheckpointError(UsageError):
    """A model folder is missing, incomplete or not what its manifest says."""


class PromptError(UsageError):
    """A prompt that cannot be put before the model."""


class StoreError(BucketsightError):
    """The store did not answer in time; what is committed stays, and the same command goes on."""

    exit_code = ExitCode.INTERRUPTED


class ReplicaError(BucketsightError):
    """No replica starts, or one shard takes every replica with it that runs it."""


class OutageError(BucketsightError):
    """Image after image fails for a reason that is none of theirs; none of them is committed."""


class StoreOutageError(OutageError):
    """The store refuses or does not answer, or the credentials are refused."""

    exit_code = ExitCode.INTERRUPTED


class DeviceOutageError(OutageError):
    """The model fails on whatever it is shown."""


class StoppedError(BucketsightError):
    """Somebody asked the run to stop; what is committed stays, and the same command goes on."""

    exit_code = ExitCode.INTERRUPTED


class LimitReachedError(StoppedError):
    """As many images, or as much time, as a night was allowed."""

    exit_code = ExitCode.COMPLETE


class BusyError(BucketsightError):
    """Another driver works on the run that is to be gone on with, or rows are being erased."""

    exit_code = ExitCode.INTERRUPTED


class RunFolderError(BucketsightError):
    """OUTPUT holds what no run of ours can have written."""


class DamagedPlanError(RunFolderError):
    """A page of a frozen plan is missing or altered."""


class ForeignPartError(RunFolderError):
    """A part's name is taken by a file that is not this shard of this plan."""


class ItemError(BucketsightError):
    """One item cannot be labelled; `code` says why. Only concrete subclasses are raised."""

    code: ClassVar[ErrorCode]


class ReadError(ItemError):
    """The item's bytes cannot be had."""


class NotFoundError(ReadError):
    """The object is gone."""

    code = ErrorCode.NOT_FOUND


class ForbiddenError(ReadError):
    """The store refuses this object to these credentials."""

    code = ErrorCode.FORBIDDEN


class ChangedSincePlanError(ReadError):
    """The object is no longer the version that was planned."""

    code = ErrorCode.CHANGED_SINCE_PLAN


class ReadFailedError(ReadError):
    """The store did not deliver the object before the deadline."""

    code = ErrorCode.READ_FAILED


class TooManyBytesError(ReadError):
    """The object is larger than any image that is read."""

    code = ErrorCode.TOO_MANY_BYTES


class BadReferenceError(ReadError):
    """A manifest's row names no image that may be read."""

    code = ErrorCode.BAD_REFERENCE


class BrokenContainerError(ReadError):
    """A tar, a Parquet file or a manifest cannot be read on from here."""

    code = ErrorCode.BROKEN_CONTAINER


class ImageError(ItemError):
    """The item's bytes give no image."""


class EmptyFileError(ImageError):
    """There are no bytes at all."""

    code = ErrorCode.EMPTY_FILE


class NotAnImageError(ImageError):
    """No decoder knows these bytes."""

    code = ErrorCode.NOT_AN_IMAGE


class TruncatedError(ImageError):
    """The image ends before its last row."""

    code = ErrorCode.TRUNCATED


class TooManyPixelsError(ImageError):
    """The header announces more pixels than the limit."""

    code = ErrorCode.TOO_MANY_PIXELS


class DecodeFailedError(ImageError):
    """The decoder knows the format and refuses the content."""

    code = ErrorCode.DECODE_FAILED


class ModelError(ItemError):
    """The model gives no label for this item."""


class OutOfMemoryError(ModelError):
    """The smallest batch that holds the item does not fit the device."""

    code = ErrorCode.OUT_OF_MEMORY


class ModelFailedError(ModelError):
    """The model raised on the item."""

    code = ErrorCode.MODEL_FAILED


class ReplicaLostError(ItemError):
    """The item ended the process that looked at it."""


class ReplicaCrashedError(ReplicaLostError):
    """The process died, again and again, and with no other item."""

    code = ErrorCode.REPLICA_CRASHED


class TimedOutError(ReplicaLostError):
    """Reading or looking at the item did not come to an end."""

    code = ErrorCode.TIMED_OUT


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item has no label, as its row tells it."""

    error_code: ErrorCode
    error_message: str

    @classmethod
    def of(cls, error: ItemError) -> Self:
        """The failure that `error` stands for."""
        return cls(error.code, str(error))
