"""Tokens for the IAM access control of Amazon MSK, signed on this machine with its AWS credentials.

https://docs.aws.amazon.com/msk/latest/developerguide/iam-access-control.html
"""

import threading
import time
from collections.abc import Callable
from functools import cache

from runtime.errors import ConfigurationError

RENEW_SHARE = 0.5
"""A token is given to another client while it has this share of its life left. librdkafka asks for another one when a
fifth is left, so clients that are made later do not get one that is about to end."""

TokenCallback = Callable[[str], tuple[str, float]]
"""librdkafka's `oauth_cb`: takes `sasl.oauthbearer.config`; returns a token, and when it ends, in Unix seconds."""


@cache
def token_callback(region: str) -> TokenCallback:
    """Return what gives all clients of this process their tokens, and make the first one.

    The client library calls it from a thread of its own, before a client is used and again before a token ends.

    Raises ConfigurationError if the extra `msk` is not installed, or if there are no AWS credentials to sign with.
    """
    tokens = _Tokens(region)
    try:
        tokens("")
    except TokenError as error:
        raise ConfigurationError(f"kafka.msk_iam_region: {error}") from None
    return tokens


class TokenError(Exception):
    """No token can be made; the text says why and what to do, and quotes no credential."""


class _Tokens:
    """Makes a token when the last one is too old. For any thread."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._lock = threading.Lock()
        self._made_at = 0.0
        self._token, self._ends_at = "", 0.0

    def __call__(self, _: str) -> tuple[str, float]:
        """Return a token, and when it ends, in Unix seconds. Raises TokenError."""
        with self._lock:
            now = time.time()
            renew_at = self._made_at + (1 - RENEW_SHARE) * (self._ends_at - self._made_at)
            if not self._made_at <= now < renew_at:  # before it was made: the clock was set back
                self._token, ends_at_ms = _sign(self._region)
                self._made_at, self._ends_at = now, ends_at_ms / 1000
            return self._token, self._ends_at


def _sign(region: str) -> tuple[str, int]:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise TokenError(
            f"the Python package {error.name} is missing; pip install 'sternpost[msk]', or take the setting out"
        ) from None
    try:
        token, ends_at_ms = MSKAuthTokenProvider.generate_auth_token(region)
    except AttributeError:  # the signer looks for the keys of no credentials
        raise TokenError(
            "there are no AWS credentials to sign a token with; give this process a role, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from None
    except Exception as error:
        raise TokenError(
            f"no token can be signed with the AWS credentials ({type(error).__name__}); check the role, the profile "
            "and AWS_… in the environment"
        ) from None
    return str(token), int(ends_at_ms)
