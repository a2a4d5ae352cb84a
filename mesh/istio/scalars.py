"""The type of an unquoted YAML word, as Kubernetes sees it.

go-yaml v2 (https://github.com/kubernetes-sigs/yaml) follows YAML 1.1 for booleans (``yes``,
``on``) and for octal numbers, but knows no sexagesimal numbers and leaves dates strings.  A
number that no 64-bit integer holds becomes a float; one that no float holds is refused.
"""

from __future__ import annotations

import math
import re

_TRUE = frozenset(["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"])
_FALSE = frozenset(["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|0[0-7_]+|0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)\Z")
_PREFIX = "tag:yaml.org,2002:"
_KNOWN = frozenset(_PREFIX + name for name in ("str", "int", "float", "bool", "null", "binary"))


class BadScalarError(ValueError):
    """A word that has no value."""


def resolve(text: str, style: str | None, tag: str | None) -> object:
    """Return str, int, float, bool or None; BadScalarError for a foreign tag or a huge number.

    ``style`` is None or empty for a plain word, else the quotation mark; ``tag`` as written.
    """
    if tag and tag != "!" and tag not in _KNOWN:
        raise BadScalarError(f"tag {tag[:60]} is not allowed")
    if tag in ("!", _PREFIX + "str", _PREFIX + "binary") or (style and not tag):
        return text
    if text.isascii() and text.isdecimal() and text[0] != "0" and len(text) < 19:
        return int(text)
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in "+-.0123456789":
        return text
    if _INT.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        return _float(text)
    if _SPECIAL.match(text):
        raise BadScalarError(f"{text} is no number that JSON can hold")
    return text


def _integer(text: str) -> int | float:
    digits = text.replace("_", "").lower()
    if len(digits) > 70:
        return _float(digits)
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    for prefix, base in (("0b", 2), ("0x", 16), ("0o", 8)):
        if digits.startswith(prefix):
            number = int(digits[2:] or "0", base)
            break
    else:
        number = int(digits, 8) if len(digits) > 1 and digits[0] == "0" else int(digits)
    return sign * number if number < 2**64 else _float(str(sign * number))


def _float(text: str) -> float:
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise BadScalarError(f"number {text[:40]} is too large")
    return value
