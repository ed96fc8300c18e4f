"""Tokens for the IAM access control of Amazon MSK, signed on this machine with its AWS credentials.

https://docs.aws.amazon.com/msk/latest/developerguide/iam-access-control.html
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache

from runtime.errors import ConfigurationError

log = logging.getLogger("kafka")

RENEW_SHARE = 0.5
"""A token is given to another client while it has this share of its life left. librdkafka asks for another one when a
fifth is left, so clients that are made later do not get one that is about to end."""

TokenCallback = Callable[[str], tuple[str, float]]
"""librdkafka's `oauth_cb`: takes `sasl.oauthbearer.config`; returns a token, and when it ends, in Unix seconds."""

CHECK_S, RETRY_S = 1.0, 10.0
"""How often to look whether the token is due for renewal, and how long to wait after it could not be renewed."""


@cache
def token_callback(region: str) -> TokenCallback:
    """Return what gives all clients of this process their tokens, and make the first one.

    The client library calls it from a thread of its own, before a client is used and again before a token ends.

    Raises ConfigurationError if the extra `msk` is not installed, or if there are no AWS credentials to sign with.
    """
    try:
        tokens = _Tokens(region)
    except TokenError as error:
        raise ConfigurationError(f"kafka.msk_iam_region: {error}") from None
    threading.Thread(target=_keep_renewing, args=(weakref.ref(tokens),), name="msk-iam", daemon=True).start()
    return tokens


class TokenError(Exception):
    """No token can be made; the text says why and what to do, and quotes no credential."""


class _Tokens:
    """The newest token. `renew_if_due` is for one thread, the call for any."""

    def __init__(self, region: str) -> None:
        """Make a token. Raises TokenError."""
        self._region = region
        self._made_at = time.time()
        self._token = _sign(region)
        self._problem = ""
        self._logged: tuple[str, bool] | None = None
        """The problem that was logged last, and whether the token had ended."""
        self._retry_at = 0.0

    def __call__(self, _: str) -> tuple[str, float]:
        """Return the token, and when it ends, in Unix seconds.

        Raises TokenError if the token has ended and could not be renewed. librdkafka then reports why, and asks again
        every 10 s; it asks earlier than that if it is given what is left of a token, always before that ends
        (https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_sasl_oauthbearer.c).

        It makes none, since that allocates enough to set off Python's garbage collector. A client that the collector
        finds in a reference cycle while that client's own thread is here would be destroyed by that thread, upon which
        librdkafka ends the process
        (https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.c, rd_kafka_destroy_app).
        """
        if (problem := self._problem) and self._has_ended():
            raise TokenError(problem)
        return self._token

    def renew_if_due(self) -> None:
        """Make a new token if this one is too old, or was made before the clock was set back.

        Until that works, warn if the token is still valid, and log an error once it has ended.
        """
        now, (_, ends_at) = time.time(), self._token
        if self._made_at <= now < self._made_at + (1 - RENEW_SHARE) * (ends_at - self._made_at):
            return
        if self._problem and time.monotonic() < self._retry_at:
            return
        try:
            self._token = _sign(self._region)
        except TokenError as error:
            self._problem, self._retry_at = str(error), time.monotonic() + RETRY_S
            self._log_problem()
        else:
            self._made_at, self._problem, self._logged = now, "", None

    def _has_ended(self) -> bool:
        """Return whether brokers would refuse the token; also if the clock says that it is yet to be made."""
        return not self._made_at <= time.time() < self._token[1]

    def _log_problem(self) -> None:
        """Log each problem once while the token is valid and once after it has ended, rather than with every try."""
        ended = self._has_ended()
        if self._logged == (self._problem, ended):
            return
        self._logged = self._problem, ended
        if ended:
            log.error("the token for Amazon MSK has ended and cannot be renewed: %s", self._problem)
        else:
            left_s = self._token[1] - time.time()
            log.warning(
                "the token for Amazon MSK, valid for another %.0f s, cannot be renewed: %s", left_s, self._problem
            )


def _keep_renewing(reference: "weakref.ref[_Tokens]") -> None:
    """Renew the token for as long as somebody has use for it."""
    while (tokens := reference()) is not None:
        tokens.renew_if_due()
        del tokens
        time.sleep(CHECK_S)


def _sign(region: str) -> tuple[str, float]:
    """Return a new token, and when it ends, in Unix seconds. Raises TokenError."""
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
    return str(token), ends_at_ms / 1000
