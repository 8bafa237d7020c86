"""What the clients of stores raise, told by type, HTTP status and error code, never by message."""

import sys
from collections.abc import Iterator, Mapping

# module and class of errors that are no OSError; a module that was never imported raised nothing
_CLIENT_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("botocore.parsers", "ResponseParserError"),  # throttled answers that are no XML
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("azure.core.exceptions", "AzureError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_CREDENTIAL_ERRORS = (
    ("botocore.exceptions", "NoCredentialsError"),
    ("botocore.exceptions", "PartialCredentialsError"),
    ("botocore.exceptions", "NoAuthTokenError"),
    ("botocore.exceptions", "SSOError"),
    ("botocore.exceptions", "LoginError"),
    ("botocore.exceptions", "RefreshWithMFAUnsupportedError"),
    ("botocore.exceptions", "TokenRetrievalError"),
    ("google.auth.exceptions", "DefaultCredentialsError"),
)
_REQUEST_ERRORS = (
    ("botocore.exceptions", "ParamValidationError"),
    ("botocore.exceptions", "ProfileNotFound"),
    ("botocore.exceptions", "ConfigNotFound"),
    ("botocore.exceptions", "ConfigParseError"),
)

# an answer that could not be parsed carries a status that no server sent
_PARSER_ERRORS = (("aiohttp.http_exceptions", "HttpProcessingError"),)

EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "TokenRefreshRequired",
    }
)
"""Error codes for credentials, or a clock, that were good once; some come as HTTP 400."""

REFUSED = EXPIRED | {
    "AuthFailure",
    "AuthenticationFailed",
    "InvalidAccessKeyId",
    "InvalidAuthenticationInfo",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
"""Error codes for credentials that no object of the store would be given to."""


def client_errors() -> tuple[type[BaseException], ...]:
    """What the clients of stores raise, for an `except` clause."""
    return (OSError, *_imported(_CLIENT_ERRORS))


def credential_errors() -> tuple[type[BaseException], ...]:
    """What they raise where they find no credentials to show; some of `client_errors`."""
    return _imported(_CREDENTIAL_ERRORS)


def request_errors() -> tuple[type[BaseException], ...]:
    """What they raise instead of asking: a name that no bucket can have, a profile that is not
    there. Some of `client_errors`.
    """
    return _imported(_REQUEST_ERRORS)


def _imported(names: tuple[tuple[str, str], ...]) -> tuple[type[BaseException], ...]:
    return tuple(
        getattr(sys.modules[module], name) for module, name in names if module in sys.modules
    )


def http_status(error: BaseException | None) -> int | None:
    """The HTTP status behind `error` or what caused it; None where no server answered."""
    for one in _causes(error):
        if isinstance(one, _imported(_PARSER_ERRORS)):
            continue
        response = getattr(one, "response", None)
        if isinstance(response, Mapping):  # botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(status, int):
                return status
        for name in ("status_code", "status", "code"):  # azure, aiohttp, gcsfs
            status = getattr(one, name, None)
            if isinstance(status, int):
                return status
    return None


def error_code(error: BaseException | None) -> str:
    """The store's own word for what is behind `error`, such as `SlowDown`; "" where it has none."""
    for one in _causes(error):
        response = getattr(one, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, Mapping) else None
        code = code or getattr(one, "error_code", None)  # botocore, azure
        if isinstance(code, str):
            return code
    return ""


def refuses_credentials(error: BaseException) -> bool:
    """Whether `error` is about who asks, not about what is asked for: whatever is asked for next
    will be refused as well. A 403 that only denies access is not: it may be about one object.
    """
    return (
        isinstance(error, credential_errors())
        or http_status(error) == 401
        or error_code(error) in REFUSED
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
