#!/usr/bin/env bash
# phonenumbers 9.0.43 (Python port of libphonenumber): Korean numbers that deliveries really use.
#
# A safe number, by which a rider reaches a customer, is written 0507-1234-5678: prefix 0507, then four and four digits.
# It is taken as valid, but formatted 050-71234-5678, which nobody recognises as the number that was dialled. And a
# service number with one digit too many, 1644-12345, is not refused: it comes out as another, valid number, the mobile
# 016-441-2345. Whoever normalises before comparing, or accepts what is_valid_number() accepts, messages a stranger.
#
# Seen:  0507-1234-5678 -> 050-71234-5678 valid   1644-12345 -> 016-441-2345 valid MOBILE
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check phonenumbers==9.0.43
"$folder/venv/bin/python" - <<'PY'
import phonenumbers as pn

def seen(text):
    number = pn.parse(text, "KR")
    return (pn.format_number(number, pn.PhoneNumberFormat.NATIONAL), pn.is_valid_number(number), pn.number_type(number))

safe, service = seen("0507-1234-5678"), seen("1644-12345")
print("0507-1234-5678 ->", safe[0], "valid" if safe[1] else "invalid",
      "  1644-12345 ->", service[0], "valid" if service[1] else "invalid",
      "MOBILE" if service[2] == pn.PhoneNumberType.MOBILE else service[2])
assert safe[:2] == ("050-71234-5678", True), "this has changed"
assert service == ("016-441-2345", True, pn.PhoneNumberType.MOBILE), "this has changed"
PY
