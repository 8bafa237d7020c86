"""The one job that is simulated, and where its images lie."""

from tests.fake_store import SCHEME
from tests.runs import job_spec

INPUT = f"{SCHEME}://bucket/in"
OUTPUT = f"{SCHEME}://bucket/out"
MODEL_DIGEST = "0" * 64
JOB = job_spec(INPUT, OUTPUT, model_digest=MODEL_DIGEST)


def uri_of(number: int) -> str:
    """Where the image of that number is, if it is there."""
    return f"{INPUT}/{number:03d}.png"
