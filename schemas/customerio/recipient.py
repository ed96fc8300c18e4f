"""What a `recipient` is: Customer.io puts an email, a phone number, a #channel, a URL or an id there."""

import re

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_PHONE = re.compile(r"\+?[0-9(][0-9 ().-]{2,}")

PHONE_CHANNELS = frozenset({"sms", "whatsapp"})


def is_email(recipient: str) -> bool:
    """One @ with something on either side, no white space, and no URL (`https://user@host/`)."""
    return "@" in recipient and "://" not in recipient and _EMAIL.fullmatch(recipient) is not None


def is_phone(recipient: str, object_type: str) -> bool:
    """Digits with the usual punctuation. Without a leading + only on a channel that reaches people by phone: elsewhere
    bare digits are someone's id."""
    return (recipient.startswith("+") or object_type in PHONE_CHANNELS) and _PHONE.fullmatch(recipient) is not None
