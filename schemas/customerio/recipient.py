"""Classifies a `recipient`: Customer.io uses it for an email address, phone number, #channel, URL or id."""

import re

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_PHONE = re.compile(r"\+?[0-9(][0-9 ().-]{2,}")

PHONE_CHANNELS = frozenset({"sms", "whatsapp"})


def is_email(recipient: str) -> bool:
    """Return whether it is an email address: text, @ and text without white space, and not a URL."""
    return "@" in recipient and "://" not in recipient and _EMAIL.fullmatch(recipient) is not None


def is_phone(recipient: str, object_type: str) -> bool:
    """Return whether it is a phone number: digits with the usual punctuation.

    Without a leading + it is one only on a channel that uses phone numbers. Elsewhere bare digits are an id.
    """
    return (recipient.startswith("+") or object_type in PHONE_CHANNELS) and _PHONE.fullmatch(recipient) is not None
