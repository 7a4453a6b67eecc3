"""Tokens as a service of identity makes them: JWT (RFC 7519), signed with HMAC."""

import base64
import hashlib
import hmac
import json
import time

# What the edges of the stage verify with, unless a play says otherwise.
SECRET = "the secret of the stage, known to nobody else"

_HASHES = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}


def part(value):
  """One part of a token: bytes, text, or a value as JSON, in base64url without padding."""
  if isinstance(value, str):
    value = value.encode()
  elif not isinstance(value, bytes):
    value = json.dumps(value, separators=(",", ":")).encode()
  return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def signed(header, payload, secret=SECRET):
  """A token of these parts. An algorithm that is none of HMAC is signed as HS256 all the same."""
  text = f"{part(header)}.{part(payload)}"
  algorithm = header.get("alg") if isinstance(header, dict) else None
  digest = hmac.new(secret.encode(), text.encode(), _HASHES.get(algorithm, hashlib.sha256)).digest()
  return f"{text}.{part(digest)}"


def token(user="alice", secret=SECRET, algorithm="HS256", lifetime=600, **claims):
  """A token for a user that is valid for so many seconds; a claim of None is left out."""
  rows = {"sub": user, "exp": None if lifetime is None else int(time.time()) + lifetime, **claims}
  return signed({"alg": algorithm, "typ": "JWT"}, {name: row for name, row in rows.items() if row is not None}, secret)


def bearer(text=None, **options):
  """The field that carries a token: this text, or a token made with these options."""
  return ("Authorization", f"Bearer {token(**options) if text is None else text}")
