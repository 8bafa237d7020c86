"""Refusals of who asks are told from refusals of what is asked for."""

import pytest
import s3fs
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import ContentLengthError
from botocore.exceptions import ClientError, LoginRefreshRequired, SSOTokenLoadError
from s3fs.errors import translate_boto_error

from schemas.outcome import UsageError
from tests.runs import put
from workers.sink.create import create
from workers.store import (
    entry_at,
    fetch,
    fetch_tail,
    filesystem,
    folders,
    http_status,
    is_transient,
    list_pages,
    refuses_credentials,
)


def answer(status: int, code: str) -> ClientError:
    """An answer as botocore raises it."""
    response = {
        "Error": {"Code": code, "Message": "503 SlowDown, try again: words decide nothing"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "GetObject")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (400, "InvalidToken"),
        (400, "TokenRefreshRequired"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "RequestTimeTooSkewed"),
        (401, "Unauthorized"),
    ],
)
def test_refused_credentials_are_told_by_code(status: int, code: str) -> None:
    """With botocore's error and with what s3fs makes of it; a second try would not help."""
    raw = answer(status, code)
    for error in (raw, translate_boto_error(raw)):
        assert refuses_credentials(error)
        assert not is_transient(error)
        assert http_status(error) == status


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (403, "AccessDenied", False),
        (403, "403", False),
        (404, "NoSuchKey", False),
        (400, "BadDigest", False),
        (400, "RequestTimeout", True),
        (503, "SlowDown", True),
        (500, "InternalError", True),
        (429, "TooManyRequests", True),
    ],
)
def test_other_answers_are_about_the_object(status: int, code: str, transient: bool) -> None:
    """Denied access may be one object's, and a throttled request says nothing of who asks."""
    raw = answer(status, code)
    for error in (translate_boto_error(raw), *([] if code == "RequestTimeout" else [raw])):
        assert not refuses_credentials(error)
        assert is_transient(error) is transient


@pytest.mark.parametrize(
    "error", [SSOTokenLoadError(error_msg="expired", profile_name="x"), LoginRefreshRequired()]
)
def test_a_login_that_ran_out_is_told_by_type(error: Exception) -> None:
    """Where no server was asked at all, botocore's own errors tell."""
    assert refuses_credentials(error)
    assert not is_transient(error)


def test_an_answer_that_cannot_be_parsed_has_no_status() -> None:
    """aiohttp says 400 of a body that was cut; no server did, and another try may help."""
    error = ClientPayloadError("not completed")
    error.__cause__ = ContentLengthError("not enough data")
    assert http_status(error) is None
    assert is_transient(error)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_real_server_that_knows_no_such_key(
    bucket: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With a wrong key and with a wrong secret, reading says that it is about who asks."""
    put(bucket, "a", b"x")
    monkeypatch.setenv(name, "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    uri = f"{bucket}/a"
    for request in (
        lambda: fetch(uri),
        lambda: fetch(uri, span=(0, 1)),
        lambda: fetch_tail(uri, 1),
        lambda: entry_at(uri),
        lambda: folders(bucket),
        lambda: list(list_pages(bucket)),
        lambda: filesystem(uri).pipe_file(uri, b"x", mode="create"),
    ):
        with pytest.raises(OSError) as caught:
            request()
        assert refuses_credentials(caught.value)
        assert not is_transient(caught.value)
    with pytest.raises(UsageError, match="credentials are refused"):
        create(bucket, "b", b"x")
