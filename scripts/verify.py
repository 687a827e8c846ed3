#!/usr/bin/env python3
"""Checks a pulled folder of the Verbund against its proof, offline and without the program that made it.

    scripts/verify.py FOLDER [--trust FEDERATION@CHARTER_HASH] [--json]

Shares no code with that program. Every rule that it checks stands in protocol/SPEC.md and is cited as SPEC-n.m, so that two programs
have to agree before anybody is told that a folder is what a member published. Needs Python 3.9 or newer and the package `cryptography`; no network, no daemon.

Exit codes: 0 verified, 2 usage (or `cryptography` is missing), 6 not verified, 8 consistent, but nothing that you trust says
that the federation is the right one. 1 and 3 if the folder cannot be read or holds no proof.

One file on purpose: it can be handed to an auditor by itself. Every rule is checked here; the library only does the arithmetic
of Ed25519, and what it may leave open (small order, S out of range) is checked before.
"""
import argparse
import base64
import hashlib
import json
import os
import re
import stat
import sys
import time
import unicodedata

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # said by main, with the next step
    Ed25519PublicKey = None

# SPEC part 17: limits that all readers share, in bytes unless said otherwise.
LEAF_MAX = 65_535
CHARTER_MAX = 49_024
MANIFEST_MAX = 8 << 20
NOTE_MAX = 65_536
NOTE_LINES_MAX = 316
PROOF_MAX = 64 << 20
INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 32
HASHES_MAX = 64
PARTS_MAX = 1_024
CHARTERS_MAX = 4_096
ENTRIES_MAX = 3 + 4_096 + 256
STATEMENTS_MAX = 16
FILES_MAX = 10_000
CHAIN_MAX = 256
MEMBERS_MAX = 150
STOPS_MAX = 16

STEPS = ("federation", "charters", "anchor", "checkpoint", "inclusion", "authority", "witnesses", "end", "release", "manifest",
         "files")
DOCUMENT = "application/vnd.verbund.%s.v1+json"
RELEASE_TYPE = "application/vnd.in-toto+json"


class Refused(Exception):
    """Something that a rule does not allow; the text names it."""


def need(condition, text):
    if not condition:
        raise Refused(text)


# --- JSON (SPEC part 3) -------------------------------------------------------------------------------------------------------

def _integer(text):
    need(text != "-0", "the integer -0")
    need(len(text) <= 17, "an integer beyond 2^53-1")
    number = int(text)
    need(abs(number) <= INTEGER_MAX, "an integer beyond 2^53-1")
    return number


def _no_number(text):
    raise Refused("the number %.20s, which is no integer" % text)


def _object(pairs):
    found = dict(pairs)
    need(len(found) == len(pairs), "a key twice in one object")
    return found


def _sound(value, depth):
    """SPEC-3.1: bounded nesting, and no lone surrogates in any text."""
    if isinstance(value, str):
        need(not re.search("[\ud800-\udfff]", value), "a lone surrogate")
    elif isinstance(value, (dict, list)):
        need(depth < DEPTH_MAX, "nesting deeper than 32")
        for item in value.values() if isinstance(value, dict) else value:
            _sound(item, depth + 1)
        if isinstance(value, dict):
            for key in value:
                _sound(key, depth + 1)


def parse_json(data):
    """One JSON text as SPEC-3.1 has it."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        need(not text.startswith("\ufeff"), "a byte order mark")
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_no_number,
                           parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused("no permitted JSON: %s" % error)
    _sound(value, 0)
    return value


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def _quoted(text):
    return '"' + re.sub('["\\\\\x00-\x1f]', lambda m: _ESCAPES.get(m[0], "\\u%04x" % ord(m[0])), text) + '"'


def canonical(value):
    """RFC 8785 for what SPEC-3.1 allows (SPEC-3.4)."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(_quoted(key) + ":" + canonical(value[key]) for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


# --- shapes: each takes a JSON value and gives what it means, or refuses ----------------------------------------------------------

def text(value):
    need(isinstance(value, str), "no text where one is required")
    return value


def short(value):
    """SPEC-1.4."""
    need(1 <= len(text(value)) <= 300, "a text that is empty or over 300 characters")
    need(not any(unicodedata.category(c) == "Cc" for c in value), "a control character in a short text")
    return value


def boolean(value):
    need(isinstance(value, bool), "no true or false where one is required")
    return value


def integer(low, high=INTEGER_MAX):
    def shape(value):
        need(isinstance(value, int) and not isinstance(value, bool), "no integer where one is required")
        need(low <= value <= high, "an integer out of range")
        return value
    return shape


whole = integer(0)


def matching(pattern, what):
    compiled = re.compile(pattern)

    def shape(value):
        need(compiled.fullmatch(text(value)), "%.90r is no %s" % (value, what))
        return value
    return shape


def choice(*values):
    def shape(value):
        need(text(value) in values, "%.40r is none of %s" % (value, ", ".join(values)))
        return value
    return shape


def listed(shape, low=0, high=None):
    def whole_list(value):
        need(isinstance(value, list), "no list where one is required")
        need(len(value) >= low and (high is None or len(value) <= high), "a list of %d entries" % len(value))
        return [shape(item) for item in value]
    return whole_list


# SPEC part 2: one value has one text.
sha256 = matching("sha256:[0-9a-f]{64}", "SHA-256 hash")
hex64 = matching("[0-9a-f]{64}", "hash of 64 hex digits")
federation_id = matching("federation:[0-9a-f]{64}", "federation id")
member_id = matching("member:[0-9a-f]{64}", "member id")
public_key = matching("ed25519:[0-9a-f]{64}", "public key")
handle = matching("[a-z](?:[a-z0-9-]{0,30}[a-z0-9])", "handle")
slug = matching("[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", "slug")
ags = matching("[0-9]{2,8}", "AGS")

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PEER_PREFIX = bytes.fromhex("002408011220")


def base58(data):
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def peer_key(value):
    """The public key in a peer id, as bytes."""
    need(len(text(value)) <= 64 and all(c in _BASE58 for c in value), "%.70r is no peer id" % value)
    number = 0
    for c in value:
        number = number * 58 + _BASE58.index(c)
    need(number < 1 << (8 * 38), "%.70r is no peer id" % value)
    data = number.to_bytes(38, "big")
    need(data.startswith(_PEER_PREFIX) and base58(data) == value, "%.70r is no peer id" % value)
    return data[len(_PEER_PREFIX):]


def peer(value):
    peer_key(value)
    return value


def key_bytes(key):
    return bytes.fromhex(key[len("ed25519:"):])


def from_base64(value, limit=None):
    """SPEC-1.2: padding and zero trailing bits, nothing else."""
    try:
        data = base64.b64decode(text(value).encode("ascii"), validate=True)
    except (ValueError, UnicodeEncodeError):
        raise Refused("no base64")
    need(base64.b64encode(data).decode() == value, "base64 with stray bits")
    need(limit is None or len(data) <= limit, "%d bytes, over the limit of %s" % (len(data), limit))
    return data


def binary(limit):
    return lambda value: from_base64(value, limit)


def fields(value, required, optional=None, closed=False):
    """Keys of an object by their shapes. SPEC-3.2, 3.3: `null` stands for an absent optional key, unknown keys are ignored."""
    optional = optional or {}
    need(isinstance(value, dict), "no object where one is required")
    found = {}
    for name, shape in required.items():
        need(name in value, "the key %r is missing" % name)
        found[name] = _named(name, shape, value[name])
    for name, shape in optional.items():
        given = value.get(name)
        # A key whose absence means an empty list or object has no null.
        if name in value and (given is not None or getattr(shape, "no_null", False)):
            found[name] = _named(name, shape, given)
    if closed:
        unknown = set(value) - set(required) - set(optional)
        need(not unknown, "the key %.40r is not known" % min(unknown, default=""))
    return found


def _named(name, shape, value):
    try:
        return shape(value)
    except Refused as error:
        raise Refused("%s: %s" % (name, error))


def plural(shape):
    """A list whose absence means that it is empty: `null` is refused (SPEC-3.3)."""
    whole_list = listed(shape)

    def given(value):
        return whole_list(value)
    given.no_null = True
    return given


def object_of(required, optional=None):
    return lambda value: fields(value, required, optional)


# --- signatures (SPEC-2.3) --------------------------------------------------------------------------------------------------------

P = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
# The y of all points whose order divides 8: orders 8, 8, 1, 2 and 4. Those of order 8 solve d y^4 + 2 y^2 = 1.
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = {_Y8, P - _Y8, 1, P - 1, 0}


def _small_order(point):
    return (int.from_bytes(point, "little") & (2**255 - 1)) % P in _SMALL_ORDER


def signed_by(key, message, signature):
    """Strict Ed25519: S below the group's order, no small-order key or R, R canonical (which comparing its bytes ensures)."""
    if len(key) != 32 or len(signature) != 64:
        return False
    point, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    if scalar >= GROUP_ORDER or (int.from_bytes(point, "little") & (2**255 - 1)) >= P:
        return False
    if _small_order(key) or _small_order(point):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Envelope:
    """DSSE (SPEC part 4)."""

    def __init__(self, data):
        need(len(data) <= LEAF_MAX, "an envelope of %d bytes" % len(data))
        line = object_of({"keyid": text, "sig": text})
        parts = fields(parse_json(data), {"payload": from_base64, "payloadType": text, "signatures": listed(line, 0, 16)})
        self.payload, self.type = parts["payload"], parts["payloadType"]
        self.signatures = {}
        for signature in parts["signatures"]:
            need(signature["keyid"] not in self.signatures, "two signatures with one keyid")
            self.signatures[signature["keyid"]] = signature["sig"]
        self.id = "sha256:" + hashlib.sha256(self.payload).hexdigest()
        name = self.type.encode("utf-8")
        self._message = b"DSSEv1 %d %s %d %s" % (len(name), name, len(self.payload), self.payload)
        self._known = {}

    def by(self, key):
        """Whether this public key, as text, validly signed it."""
        if key not in self._known:
            try:
                signature = from_base64(self.signatures[key])
                self._known[key] = signed_by(key_bytes(public_key(key)), self._message, signature)
            except (KeyError, Refused):
                self._known[key] = False
        return self._known[key]

    def met(self, role, allowed=lambda key: True):
        """SPEC-4.5: a threshold counts distinct public keys."""
        return sum(1 for key in role["keys"] if allowed(key) and self.by(key)) >= role["threshold"]

    def of(self, kind):
        need(self.type == DOCUMENT % kind, "expected a document of the kind %s, got %.80r" % (kind, self.type))
        return parse_json(self.payload)


# --- identities and documents (SPEC parts 5 and 6) ----------------------------------------------------------------------------------

def _role(value, extra=None):
    role = fields(value, {"keys": listed(public_key, 1, 16), "threshold": integer(1, 16)}, extra)
    need(role["threshold"] <= len(role["keys"]), "a threshold over the number of keys")
    return role


def _slugs(value):
    need(isinstance(value, dict), "no object where one is required")
    return {public_key(key): set(listed(slug)(slugs)) for key, slugs in value.items()}


_slugs.no_null = True


def _names(value):
    need(isinstance(value, dict) and 1 <= len(value) <= 8, "no object of 1 to 8 names")
    return {short(language): short(name) for language, name in value.items()}


def _roles(value):
    roles = fields(value, {"root": _role, "approver": _role, "publisher": lambda role: _role(role, {"slugs": _slugs}),
                           "nodes": listed(public_key, 1, 16)})
    keys = [key for name in ("root", "approver", "publisher") for key in roles[name]["keys"]] + roles["nodes"]
    need(len(set(keys)) == len(keys), "a key twice")
    return roles


class Identity:
    """SPEC part 5."""

    def __init__(self, envelope):
        parts = fields(envelope.of("identity"),
                       {"version": integer(1), "handle": handle, "names": _names, "roles": _roles},
                       {"member": member_id, "prev": sha256, "ags": ags, "contact": short, "valid_until": short})
        self.version, self.roles, self.names = parts["version"], parts["roles"], parts["names"]
        self.prev, self.hash = parts.get("prev"), envelope.id
        self.named = parts.get("member")
        self.member = self.named or "member:" + envelope.id[len("sha256:"):]
        self.nodes = {key_bytes(key) for key in self.roles["nodes"]}

    def may_publish(self, envelope, process):
        """SPEC-5.2."""
        slugs = self.roles["publisher"].get("slugs", {})
        return envelope.met(self.roles["publisher"], lambda key: key not in slugs or process in slugs[key])


def first_identity(envelope):
    """SPEC-5.3."""
    identity = Identity(envelope)
    need(identity.version == 1 and identity.named is None and identity.prev is None, "no first version of an identity")
    need(envelope.met(identity.roles["root"]), "a first identity that its own root threshold did not sign")
    return identity


def next_identity(before, envelope):
    """SPEC-5.4, 5.5."""
    identity = Identity(envelope)
    need(identity.version == before.version + 1 and identity.version <= CHAIN_MAX, "an identity that skips a version")
    need(identity.named == before.member and identity.prev == before.hash, "an identity that does not follow")
    need(envelope.met(before.roles["root"]), "an identity that the root threshold before did not sign")
    need(envelope.met(identity.roles["root"]), "an identity that its own root threshold did not sign")
    return identity


log_end = object_of({"log": peer, "size": whole, "root": sha256})


class Writer:
    """SPEC-6.1, 6.2."""

    def __init__(self, envelope):
        parts = fields(envelope.of("writer"), {"member": member_id, "seq": integer(1), "peer": peer},
                       {"federation": federation_id, "prev": sha256, "closes": log_end})
        self.member, self.seq, self.peer = parts["member"], parts["seq"], parts["peer"]
        self.federation, self.prev, self.closes = parts.get("federation"), parts.get("prev"), parts.get("closes")
        self.hash = envelope.id
        if self.seq == 1:
            need(self.prev is None and self.closes is None, "a first writer with a predecessor")
        else:
            need(self.prev and self.closes and self.federation, "a later writer without predecessor")

    def check(self, envelope, federation, identities, before):
        need(self.federation == federation, "a writer of another federation")
        if before is None:
            need(self.seq == 1, "a writer without its predecessor")
        else:
            need(self.seq == before.seq + 1 and self.prev == before.hash, "a writer that does not follow")
            need(self.closes["log"] == before.peer and self.peer != before.peer, "a writer that closes another log")
        node = peer_key(self.peer)
        need(any(node in i.nodes and envelope.met(i.roles["root"]) for i in identities),
             "a writer that no identity with its node signed")


standing = choice("full", "associate")
_ADMIT = {"member": member_id, "handle": handle, "standing": standing, "identity": sha256, "writer": sha256}
_AMEND = dict(_ADMIT, name=short, license=short)


def change(value):
    """SPEC-6.6. Canonical documents have no further keys and no null (SPEC-3.5), which the caller's comparison ensures."""
    need(isinstance(value, dict), "a change that is no object")
    kind = choice("admit", "expel", "amend")(value.get("kind"))
    rest = {key: item for key, item in value.items() if key != "kind"}
    need(None not in rest.values(), "null in a canonical document")
    if kind == "admit":
        return dict(fields(rest, _ADMIT, closed=True), kind=kind)
    if kind == "expel":
        return dict(fields(rest, {"member": member_id}, closed=True), kind=kind)
    found = fields(rest, {}, _AMEND, closed=True)
    of_member = any(key in found for key in ("handle", "standing", "identity", "writer"))
    need(("member" in found) == of_member, "an amendment that names a member and changes nothing of it, or the reverse")
    need(of_member or "name" in found or "license" in found, "an amendment that changes nothing")
    return dict(found, kind=kind)


def approval(envelope):
    value = envelope.of("approval")
    need(canonical(value).encode() == envelope.payload, "an approval that is not canonical")
    need(None not in value.values() if isinstance(value, dict) else False, "null in a canonical document")
    return fields(value, {"federation": federation_id, "member": member_id, "base_version": whole, "change": change}, closed=True)


def ordering(envelope):
    """SPEC-6.8."""
    vote = fields(envelope.of("ordering"),
                  {"height": integer(1), "round": integer(0, 2**32 - 1), "type": choice("proposal", "prevote", "precommit"),
                   "member": member_id, "writer": peer},
                  {"federation": federation_id, "prev": sha256, "value": sha256, "pol_round": integer(0, 2**32 - 1)})
    later = vote["height"] > 1
    need(("federation" in vote) == later and ("prev" in vote) == later, "a vote whose federation does not fit its height")
    if vote["type"] == "proposal":
        need("value" in vote and vote.get("pol_round", -1) < vote["round"], "a proposal without value")
    else:
        need("pol_round" not in vote, "a vote with pol_round")
    return vote


# --- charters and certificates (SPEC parts 7 and 8) -----------------------------------------------------------------------------------

_agreement = object_of({"title": short, "sha256": sha256}, {"uri": short})
_CHARTER = {"version": integer(1), "founded_s": whole, "members": listed(object_of(_ADMIT), 1, MEMBERS_MAX),
            "rules": object_of({"name": short, "slug": slug}, {"agreement": _agreement, "license": short, "terms": short})}
_CHARTER_LATER = {"federation": federation_id, "prev": sha256, "change": change, "stops": listed(log_end, 1, STOPS_MAX),
                  "predecessor": federation_id}


def charter(payload):
    """SPEC part 7. Gives the object, which is the payload once its canonical form was compared (SPEC-3.5)."""
    need(len(payload) <= CHARTER_MAX, "a charter of %d bytes" % len(payload))
    value = parse_json(payload)
    need(canonical(value).encode() == payload, "a charter that is not canonical")
    found = fields(value, _CHARTER, _CHARTER_LATER, closed=True)
    need(canonical(found).encode() == payload, "a charter with keys or values that it does not have")
    first = found["version"] == 1
    need(all((key in found) != first for key in ("federation", "prev", "change")), "a charter whose version does not fit its keys")
    ids = [m["member"] for m in found["members"]]
    need(all(a < b for a, b in zip(ids, ids[1:])), "members that do not ascend")
    need(len({m["handle"] for m in found["members"]}) == len(ids), "a handle of two members")
    need(any(m["standing"] == "full" for m in found["members"]), "a charter without voting members")
    need(not first or (len(ids) == 1 and "stops" not in found), "a genesis with more than its founder")
    logs = [peer_key(stop["log"]) for stop in found.get("stops", [])]
    need(all(a < b for a, b in zip(logs, logs[1:])), "stops that do not ascend")
    return found


def successor(before, before_hash, federation, new):
    """SPEC-7.2: what the change of `new` makes of the charter before."""
    made = json.loads(json.dumps(before))
    made.update(version=before["version"] + 1, federation=federation, prev=before_hash, change=new["change"])
    made.pop("stops", None)
    members, what = made["members"], new["change"]
    at = next((m for m in members if m["member"] == what.get("member")), None)
    of_handle = next((m for m in members if m["handle"] == what.get("handle")), None)
    if what["kind"] == "admit":
        need(at is None and of_handle is None, "an admission of a member or handle that is in")
        members.append({key: what[key] for key in _ADMIT})
        members.sort(key=lambda m: m["member"])
    elif what["kind"] == "expel":
        need(at is not None, "an expulsion of nobody")
        members.remove(at)
        made["stops"] = new.get("stops", [])
    else:
        need(of_handle is None or of_handle is at, "a handle that belongs to another")
        need(at is not None or "member" not in what, "an amendment of nobody")
        for key in ("handle", "standing", "identity", "writer"):
            if key in what:
                at[key] = what[key]
        for key in ("name", "license"):
            if key in what:
                made["rules"][key] = what[key]
    return made


class Certified:
    """A charter whose certificate was checked (SPEC part 8), with the identities and writers that it pins."""

    def __init__(self, before, bundle):
        lists = [bundle[name] for name in ("identities", "writers", "approvals", "precommits")]
        need(sum(map(len, lists)) <= PARTS_MAX, "more than 1,024 parts")
        self.charter = charter(bundle["payload"])
        self.hash = "sha256:" + hashlib.sha256(bundle["payload"]).hexdigest()
        self.version = self.charter["version"]
        self.federation = before.federation if before else "federation:" + self.hash[len("sha256:"):]
        self._follows(before)
        identities = {m: [i] for m, i in before.identities.items()} if before else {}
        writers = {m: [w] for m, w in before.writers.items()} if before else {}
        self._add(before, bundle, identities, writers)
        voting = (before.charter if before else self.charter)["members"]
        voters = {m["member"] for m in voting if m["standing"] == "full"}
        k = 2 * len(voters) // 3 + 1
        approved = self._approvals(before, bundle, identities, voters)
        need(len(approved) >= k, "%d of %d approvals" % (len(approved), k))
        voted = self._precommits(before, bundle, writers, voters)
        need(voted >= k, "%d of %d precommits" % (voted, k))
        self._pin(identities, writers)

    def _follows(self, before):
        if before is None:
            need(self.version == 1, "the first charter is no genesis")
            return
        need(self.version == before.version + 1, "charter %d after charter %d" % (self.version, before.version))
        need(self.charter.get("federation") == self.federation, "a charter of another federation")
        what = self.charter["change"]
        if what["kind"] == "expel":  # SPEC-7.4
            writer = before.writers.get(what["member"])
            stops = self.charter.get("stops", [])
            need(writer and len(stops) == 1 and stops[0]["log"] == writer.peer, "an expulsion that stops another log")
        made = successor(before.charter, before.hash, self.federation, self.charter)
        need(made == self.charter, "a charter that says more than its change")

    def _add(self, before, bundle, identities, writers):
        """SPEC-8.1."""
        for part in bundle["identities"]:
            envelope = Envelope(part)
            chain = identities.setdefault(Identity(envelope).member, [])
            chain.append(next_identity(chain[-1], envelope) if chain else first_identity(envelope))
        for part in bundle["writers"]:
            envelope = Envelope(part)
            writer = Writer(envelope)
            chain = writers.setdefault(writer.member, [])
            known = identities.get(writer.member, [])
            writer.check(envelope, before.federation if before else None, known, chain[-1] if chain else None)
            chain.append(writer)

    def _approvals(self, before, bundle, identities, voters):
        """SPEC-8.3, 8.7."""
        what = self.charter.get("change") or dict(self.charter["members"][0], kind="admit")
        counted = set()
        for part in bundle["approvals"]:
            envelope = Envelope(part)
            given = approval(envelope)
            fits = (given["member"] in voters and given["federation"] == self.federation and given["change"] == what
                    and given["base_version"] == (before.version if before else 0))
            if fits and any(envelope.met(i.roles["approver"]) for i in identities.get(given["member"], [])):
                counted.add(given["member"])
        return counted

    def _precommits(self, before, bundle, writers, voters):
        """SPEC-8.4, 8.5, 8.7: the most members of one round."""
        rounds = {}
        for part in bundle["precommits"]:
            envelope = Envelope(part)
            vote = ordering(envelope)
            fits = (vote["type"] == "precommit" and vote["member"] in voters and vote["height"] == self.version
                    and vote.get("value") == self.hash and vote.get("federation") == (before.federation if before else None)
                    and vote.get("prev") == (before.hash if before else None) and (before or vote["round"] == 0))
            node = "ed25519:" + peer_key(vote["writer"]).hex()
            if fits and any(w.peer == vote["writer"] for w in writers.get(vote["member"], [])) and envelope.by(node):
                rounds.setdefault(vote["round"], set()).add(vote["member"])
        return max(map(len, rounds.values()), default=0)

    def _pin(self, identities, writers):
        """SPEC-8.6."""
        self.identities, self.writers, nodes = {}, {}, set()
        for entry in self.charter["members"]:
            member = entry["member"]
            identity = next((i for i in identities.get(member, []) if i.hash == entry["identity"]), None)
            writer = next((w for w in writers.get(member, []) if w.hash == entry["writer"]), None)
            need(identity and writer, "a member whose identity or writer is not there")
            need(peer_key(writer.peer) in identity.nodes, "a writer whose node is none of the identity's")
            need(not nodes & identity.nodes, "a node of two members")
            nodes |= identity.nodes
            self.identities[member], self.writers[member] = identity, writer

    def entry(self, member):
        return next((m for m in self.charter["members"] if m["member"] == member), None)

    def owner_of(self, node):
        return next((m for m, identity in self.identities.items() if node in identity.nodes), None)


# --- releases and manifests (SPEC part 9) ---------------------------------------------------------------------------------------------

_NUMBER = "(?:0|[1-9][0-9]*)"
_PRE = "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(r"({0})\.({0})\.({0})(?:-{1}(?:\.{1})*)?(\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?".format(_NUMBER, _PRE))


def semver(value, build=False):
    match = _SEMVER.fullmatch(text(value))
    need(match and all(int(n) < 2**64 for n in match.groups()[:3] if len(n) <= 20), "%.40r is no version" % value)
    need(all(len(n) <= 20 for n in match.groups()[:3]), "%.40r is no version" % value)
    need(build or not match.group(4), "a version with build metadata")
    return value


def process_ref(value):
    federation, colon, rest = text(value).rpartition(":")
    if colon:
        slug(federation)
    owner, slash, name = rest.partition("/")
    need(slash, "%.80r is no reference to a process" % value)
    handle(owner), slug(name)
    return value


def release_ref(value):
    process, at, version = text(value).partition("@")
    need(at, "%.80r is no reference to a release" % value)
    process_ref(process), semver(version, build=True)
    return value


def anything(value):
    return value


anything.no_null = True
_kind = object_of({"kind": text}, {"text": text})
_METADATA = {
    "id": slug, "version": semver, "title": text, "summary": text, "level": listed(text), "license": text, "contact": text,
    "platform": object_of({"name": text}, {"min_version": text, "key": text}), "maintenance": _kind,
    "change": object_of({"kind": text, "text": text})}
_METADATA_OPTIONAL = {
    "description": text, "leistungsschluessel": plural(text), "no_key_reason": text, "ozg_id": plural(text), "themenfeld": text,
    "keywords": plural(text), "legal_basis": plural(object_of({"name": text}, {"uri": text})), "regions": plural(text),
    "stage": text, "fim_status": object_of({"status": integer(0, 255), "list_version": text}),
    "maturity": object_of({"model": text, "level": integer(0, 255)}), "trust_level": text,
    "base_services": plural(object_of({"name": text}, {"version": text})),
    "depends": plural(object_of({"process": process_ref, "version": text, "kind": text})),
    "parameters": plural(object_of({"name": text, "type": text, "required": boolean}, {"text": text})),
    "terms": object_of({}, {"path": text, "sha256": sha256, "charter": text}), "audience": anything, "cost": _kind,
    "responsible": text, "partners": plural(text), "based_on": object_of({"release": release_ref, "digest": sha256}),
    "succeeds": process_ref}
_TEXT_CAPS = {"title": 300, "summary": 150, "description": 10_000}


def _capped(value, characters, entries):
    """SPEC-9.7."""
    if isinstance(value, str):
        need(len(value) <= characters, "a text over %d characters" % characters)
    elif isinstance(value, list):
        need(len(value) <= entries, "a list over %d entries" % entries)
        for item in value:
            _capped(item, characters, entries)
    elif isinstance(value, dict):
        need(len(value) <= 500, "an object over 500 keys")
        for item in value.values():
            _capped(item, characters, entries)


def metadata(value):
    need(isinstance(value, dict), "metadata that are no object")
    for key, item in value.items():
        _capped(item, _TEXT_CAPS.get(key, 2_000), 50 if key == "keywords" else 500)
    return fields(value, _METADATA, _METADATA_OPTIONAL)


def release(envelope):
    """SPEC-9.1, 9.2."""
    need(envelope.type == RELEASE_TYPE, "expected a release, got %.80r" % envelope.type)
    subject = object_of({"name": choice("manifest.json"), "digest": object_of({"sha256": hex64, "blake3": hex64})})
    sizes = object_of({"size": integer(1, MANIFEST_MAX), "files": integer(1, FILES_MAX), "total_size": whole})
    predicate = object_of({"federation": federation_id, "member": member_id, "time_s": whole, "manifest": sizes,
                           "metadata": metadata})
    found = fields(parse_json(envelope.payload),
                   {"_type": choice("https://in-toto.io/Statement/v1"), "predicateType": choice("urn:verbund:release:v1"),
                    "subject": listed(subject, 1, 1), "predicate": predicate})
    return dict(found["predicate"], sha256=found["subject"][0]["digest"]["sha256"], id=envelope.id)


_FORBIDDEN = set("\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_MEDIA = re.compile(r"(?=.{1,127}\Z)[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


def fold(value):
    """SPEC-9.4: each character's upper and then lower form where that is one character, in normal form C."""
    def one(c, mapped):
        return mapped if len(mapped) == 1 else c
    folded = []
    for c in unicodedata.normalize("NFC", value):
        upper = one(c, c.upper())
        folded.append(one(upper, upper.lower()))
    return unicodedata.normalize("NFC", "".join(folded))


def safe_path(value):
    """SPEC-9.4."""
    size = len(text(value).encode("utf-8"))
    need(1 <= size <= 512, "a path of %d bytes" % size)
    need(not any(unicodedata.category(c) == "Cc" or c in _FORBIDDEN for c in value), "a path with a control character")
    need("\\" not in value and not value.startswith("/") and not re.match("[A-Za-z]:", value), "a path that leaves the folder")
    need(unicodedata.normalize("NFC", value) == value, "a path that is not in normal form C")
    segments = value.split("/")
    need(len(segments) <= 32, "a path deeper than 32")
    for segment in segments:
        need(segment not in ("", ".", "..") and len(segment.encode("utf-8")) <= 255 and segment[-1] not in ". ",
             "a path with a segment that is not allowed")
    need(fold(segments[0]) != ".verbund", "a path in .verbund")
    return value


def manifest(data):
    """SPEC-9.3 to 9.5. Gives the files by path."""
    need(len(data) <= MANIFEST_MAX, "a manifest of %d bytes" % len(data))
    file = object_of({"path": safe_path, "size": whole, "media_type": text, "sha256": hex64, "blake3": hex64})
    found = fields(parse_json(data), {"format": integer(1, 1), "files": listed(file, 1, FILES_MAX)})["files"]
    names = [f["path"].encode("utf-8") for f in found]
    need(all(a < b for a, b in zip(names, names[1:])), "paths that do not ascend")
    need(sum(f["size"] for f in found) <= INTEGER_MAX, "sizes beyond 2^53-1")
    need(all(_MEDIA.fullmatch(f["media_type"]) for f in found), "a media type that is none")
    spelled, kinds = {}, {}
    for f in found:
        segments = f["path"].split("/")
        for depth in range(1, len(segments) + 1):
            exact, is_file = "/".join(segments[:depth]), depth == len(segments)
            twin = "/".join(map(fold, segments[:depth]))
            need(spelled.setdefault(twin, exact) == exact, "paths that differ by case only")
            need(kinds.setdefault(twin, is_file) == is_file, "a path that is both file and folder")
    return {f["path"]: ("sha256:" + f["sha256"], f["size"]) for f in found}


# --- logs (SPEC part 10) ----------------------------------------------------------------------------------------------------------------

def _node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf_hash(leaf):
    return hashlib.sha256(b"\x00" + leaf).digest()


def raw(value):
    return bytes.fromhex(value[len("sha256:"):])


def inclusion_root(index, size, leaf, path):
    """SPEC-10.8: the root that an audit path leads to (RFC 9162 §2.1.3.2 gives the algorithm for the same tree)."""
    need(index < size, "an entry beyond the checkpoint")
    fn, sn, at = index, size - 1, leaf
    for step in path:
        need(sn != 0, "a path that is too long")
        if fn & 1 or fn == sn:
            at = _node(step, at)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            at = _node(at, step)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "a path that is too short")
    return at


def consistency_roots(small, large, path):
    """SPEC-10.9: both roots that a seeded path SUBPROOF(m, D[n], false) gives; RFC 9162 §2.1.4.2 with the seed always there."""
    need(1 <= small <= large and path, "a consistency path of no use")
    fn, sn = small - 1, large - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for step in path[1:]:
        need(sn != 0, "a path that is too long")
        if fn & 1 or fn == sn:
            first, second = _node(step, first), _node(step, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = _node(second, step)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "a path that is too short")
    return first, second


def _key_id(name, kind, key):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]


_LINE = re.compile("\u2014 ([^\\s+]+) ([A-Za-z0-9+/=]+)")


class Checkpoint:
    """A note that its log signed (SPEC-10.3 to 10.6), and the cosignatures in it, whoever they are by."""

    def __init__(self, note, federation, log):
        data = note.encode("utf-8")
        need(len(data) <= NOTE_MAX, "a note of %d bytes" % len(data))
        need(not any(b < 0x20 and b != 0x0A for b in data), "a control character in the note")
        at = note.rfind("\n\n")
        need(at >= 0 and note.endswith("\n") and at + 2 < len(note), "a note without signatures")
        body, lines = note[:at + 1], note[at + 2:-1].split("\n")
        need(len(lines) <= NOTE_LINES_MAX, "more than 316 signature lines")
        name = "verbund.v1/%s/%s" % (federation[len("federation:"):], log)
        need(body.split("\n")[0] == name, "a checkpoint of another log")
        match = re.fullmatch(r"[^\n]+\n([1-9][0-9]{0,15})\n([A-Za-z0-9+/]+=*)\n", body)
        need(match and int(match[1]) <= INTEGER_MAX, "a checkpoint that is not three lines of origin, size and root")
        self.size, self.root = int(match[1]), from_base64(match[2])
        need(len(self.root) == 32, "a root that has not 32 bytes")
        self.cosigned, self.own_time, self.bad, own = {}, None, 0, False
        for line in lines:
            parts = _LINE.fullmatch(line)
            need(parts, "a malformed signature line")
            signature = from_base64(parts[2])
            need(len(signature) > 4, "a malformed signature line")
            if parts[1] == name:
                key = peer_key(log)
                own |= signature[:4] == _key_id(name, 1, key) and signed_by(key, body.encode(), signature[4:])
            else:
                self._cosignature(parts[1], signature, body)
        need(own, "a checkpoint that its log did not sign")
        self.own_time = self.cosigned.pop(peer_key(log), None)

    def _cosignature(self, name, line, body):
        """SPEC-10.6. A line of a key that is not known, or that does not verify, fails nothing."""
        try:
            need(name.startswith("verbund.v1/node/"), "no cosigner")
            key = peer_key(name[len("verbund.v1/node/"):])
            need(line[:4] == _key_id(name, 4, key), "another key")
        except Refused:
            return
        stated = int.from_bytes(line[4:12], "big")
        message = b"cosignature/v1\ntime %d\n%s" % (stated, body.encode())
        if len(line) == 76 and stated <= INTEGER_MAX and signed_by(key, message, line[12:]):
            self.cosigned[key] = max(stated, self.cosigned.get(key, 0))
        else:
            self.bad += 1


# --- the proof (SPEC part 20) -----------------------------------------------------------------------------------------------------------

_hashes = listed(sha256, 0, HASHES_MAX)
_leaf = binary(LEAF_MAX)
_parts = listed(_leaf, 0, PARTS_MAX)


def _closed(required, optional=None):
    return lambda value: fields(value, required, optional, closed=True)


def _note_text(value):
    need(len(text(value).encode("utf-8")) <= NOTE_MAX, "a note that is too long")
    return value


_PROOF = {
    "format": integer(1, 1), "federation": federation_id, "pulled_at_s": whole, "served_by": peer, "log": peer, "index": whole,
    "release": _leaf, "proof": _hashes, "checkpoint": _note_text,
    "entries": listed(_closed({"index": whole, "leaf": _leaf, "proof": _hashes}), 0, ENTRIES_MAX),
    "charters": listed(_closed({"payload": binary(CHARTER_MAX), "identities": _parts, "writers": _parts, "approvals": _parts,
                                "precommits": _parts}), 0, CHARTERS_MAX),
    "manifest": binary(MANIFEST_MAX), "statements": listed(_leaf, 0, STATEMENTS_MAX)}


def _end(value):
    path = fields(value, {"from": integer(1), "to": integer(1), "hashes": _hashes}, closed=True)
    need(path["from"] <= path["to"], "a consistency path from a larger size")
    return path


def trusted(value):
    """FEDERATION@CHARTER_HASH as on the command line; both prefixes may be left out."""
    match = re.fullmatch("(?:federation:)?([0-9a-f]{64})@(?:sha256:)?([0-9a-f]{64})", value)
    if not match:
        raise argparse.ArgumentTypeError("expected FEDERATION@CHARTER_HASH, as `verbund federation show` prints it")
    return "federation:" + match[1], "sha256:" + match[2]


class Check:
    """The steps of SPEC part 20 in order. `steps` tells what was found; `verdict` is what came out."""

    def __init__(self, data, files, trust):
        self.steps, self.warnings, self.anchored = [], [], False
        self.verdict, self.witnessed, self.time_s, self.release_id, self.facts = "unreadable", None, None, None, {}
        self.trust, self.files = trust, files
        try:
            need(len(data) <= PROOF_MAX, "a proof of %d bytes" % len(data))
            self.proof = fields(parse_json(data), _PROOF, {"end": _end}, closed=True)
        except Refused as error:
            self.steps.append(("proof", False, "the proof cannot be read: %s" % error))
            return
        self.verdict = "failed"
        for name in STEPS:
            try:
                ok, said = True, getattr(self, "_" + name)()
            except Refused as error:
                ok, said = False, str(error)
            self.steps.append((name, ok, said))
            if not ok and name != "anchor":
                return
        self.anchored = self.steps[STEPS.index("anchor")][1]
        self.verdict = "verified" if self.anchored else "unanchored"

    def _federation(self):
        """SPEC-20.4."""
        need(self.proof["charters"], "the file holds no charter")
        genesis = hashlib.sha256(self.proof["charters"][0]["payload"]).hexdigest()
        federation = self.proof["federation"]
        need(federation == "federation:" + genesis, "the file names %s, its genesis is that of another" % federation)
        need(self.trust is None or self.trust[0] == federation, "the file is of %s, which is not the trusted one" % federation)
        return "%s is the hash of its genesis" % federation

    def _charters(self):
        """SPEC-20.5: from the genesis on, each by the one before."""
        self.chain = []
        for number, bundle in enumerate(self.proof["charters"], 1):
            try:
                self.chain.append(Certified(self.chain[-1] if self.chain else None, bundle))
            except Refused as error:
                raise Refused("charter %d: %s" % (number, error))
        newest = self.chain[-1]
        return "%d charters from the genesis to version %d (%s), each certified by the members before it" % (
            len(self.chain), newest.version, newest.hash)

    def _anchor(self):
        """SPEC-20.6."""
        need(self.trust, "nothing was named to trust: the file is consistent, whoever made it")
        at = [c.version for c in self.chain if c.hash == self.trust[1]]
        need(at, "the trusted charter %s is not among those in the file" % self.trust[1])
        return "the trusted charter is version %d of the chain" % at[0]

    def _checkpoint(self):
        """SPEC-20.7."""
        self.checkpoint = Checkpoint(self.proof["checkpoint"], self.proof["federation"], self.proof["log"])
        return "%d entries, root sha256:%s, signed by the log of %s" % (
            self.checkpoint.size, self.checkpoint.root.hex(), self.proof["log"])

    def _inclusion(self):
        """SPEC-20.8."""
        entries = [(self.proof["index"], self.proof["release"], self.proof["proof"])]
        entries += [(e["index"], e["leaf"], e["proof"]) for e in self.proof["entries"]]
        for index, leaf, path in entries:
            try:
                root = inclusion_root(index, self.checkpoint.size, leaf_hash(leaf), [raw(h) for h in path])
                need(root == self.checkpoint.root, "the path leads to another root")
            except Refused as error:
                raise Refused("entry %d is not shown to stand in the log: %s" % (index, error))
        return "the release is entry %d, with %d entries that give the log its authority" % (entries[0][0], len(entries) - 1)

    def _certified(self, envelope):
        """The charter of the chain that an entry carries (SPEC-8.9)."""
        need(envelope.type == DOCUMENT % "charter", "no charter")
        version = charter(envelope.payload)["version"]
        need(version <= len(self.chain) and self.chain[version - 1].hash == envelope.id, "not the certified charter %d" % version)
        return self.chain[version - 1]

    def _authority(self):
        """SPEC-20.9 to 20.11."""
        index, entries = self.proof["index"], self.proof["entries"]
        need(index >= 3, "entry %d is one of the first three of the log" % index)
        need([e["index"] for e in entries[:3]] == [0, 1, 2], "the first three entries of the log are not all there")
        first, writer, third = (Envelope(e["leaf"]) for e in entries[:3])
        need(first.type == DOCUMENT % "identity" and writer.type == DOCUMENT % "writer", "a log that does not start as it must")
        at = self._certified(third)
        owners = [m for m, w in at.writers.items() if w.hash == writer.id and w.peer == self.proof["log"]]
        need(owners, "charter %d does not name %s as a writer" % (at.version, self.proof["log"]))
        self.owner, self.identity = owners[0], at.identities[owners[0]]
        need(self.identity.hash == first.id, "entry 0 is not the identity that charter %d pins" % at.version)
        self.by, last = at, 2
        for entry in entries[3:]:
            need(entry["index"] > last, "entries that do not ascend")
            last, envelope = entry["index"], Envelope(entry["leaf"])
            if envelope.type == DOCUMENT % "charter":
                need(self._certified(envelope).version == at.version + 1, "entry %d: a charter that does not follow" % last)
                at = self.chain[at.version]
            else:
                need(envelope.type == DOCUMENT % "identity" and last < index, "entry %d gives the release no authority" % last)
                self.identity = next_identity(self.identity, envelope)
            if last < index:
                self.by = at
        self.counting = at
        need(self.by.entry(self.owner), "the owner of the log is no member as of charter %d" % self.by.version)
        pinned = self.by.identities[self.owner]
        if pinned.version > self.identity.version:
            self.identity = pinned
        return "at entry %d the log is that of %s, by identity version %d and charter %d" % (
            index, self.by.entry(self.owner)["handle"], self.identity.version, self.by.version)

    def _witnesses(self):
        """SPEC-20.12. Informs; too few are no failure."""
        counting = self.counting
        voting = {m["member"] for m in counting.charter["members"] if m["standing"] == "full"}
        others = voting - {self.owner}
        by = {node: counting.owner_of(node) for node in self.checkpoint.cosigned}
        counted = {member for member in by.values() if member in others}
        needed = max(1, 2 * len(voting) // 3)
        self.witnessed = (len(counted), len(others), needed)
        times = [stated for node, stated in self.checkpoint.cosigned.items() if by[node] not in (None, self.owner)]
        self.time_s = min(times, default=self.checkpoint.own_time)
        if len(counted) < needed:
            self.warnings.append("not witnessed: its log's node alone answers for the checkpoint")
        if self.checkpoint.bad:
            self.warnings.append("%d cosignatures do not match the checkpoint and were not counted" % self.checkpoint.bad)
        if self.time_s is None:
            self.warnings.append("nobody states when the checkpoint was made: its age is not known")
        names = sorted(counting.entry(member)["handle"] for member in counted)
        return "cosigned by %d of %d other members (%s), %d needed; counted by charter %d" % (
            len(counted), len(others), ", ".join(names) or "nobody", needed, counting.version)

    def _end(self):
        """SPEC-20.13."""
        log, stop, closes = self.proof["log"], None, []
        for certified in self.chain:
            stop = next((s for s in certified.charter.get("stops", []) if s["log"] == log), stop)
            closes += [w.closes for w in certified.writers.values() if w.closes and w.closes["log"] == log]
        end = stop or min(closes, key=lambda c: c["size"], default=None)
        if end is None:
            return "no charter in the file ends the log"
        need(self.proof["index"] < end["size"], "the log ended at %d entries, below the release" % end["size"])
        size, root = self.checkpoint.size, self.checkpoint.root
        if end["size"] == size:
            need(raw(end["root"]) == root, "the checkpoint is of another history than the end of the log")
        else:
            path = self.proof.get("end")
            need(path, "the file does not show that the checkpoint agrees with the end of the log")
            ends = sorted([(end["size"], raw(end["root"])), (size, root)])
            need((path["from"], path["to"]) == (ends[0][0], ends[1][0]), "a consistency path between other sizes")
            roots = consistency_roots(path["from"], path["to"], [raw(h) for h in path["hashes"]])
            need(roots == (ends[0][1], ends[1][1]), "the checkpoint is of another history than the end of the log")
        return "the log ended at %d entries, above the release" % end["size"]

    def _release(self):
        """SPEC-20.14, 12.6."""
        envelope = Envelope(self.proof["release"])
        self.release = release(envelope)
        process = self.release["metadata"]["id"]
        need(self.release["federation"] == self.proof["federation"], "a release of another federation")
        need(self.release["member"] == self.owner, "a release in another member's namespace")
        need(self.identity.may_publish(envelope, process), "%s is not signed by the publisher threshold of identity version %d"
             % (process, self.identity.version))
        self.release_id = envelope.id
        data, newest = self.release["metadata"], self.chain[-1]
        self.facts = {
            "federation": self.proof["federation"], "federation_name": newest.charter["rules"]["name"], "charter": newest.hash,
            "charter_version": newest.version, "handle": self.by.entry(self.owner)["handle"], "member": self.owner,
            "process": process, "version": data["version"], "title": data["title"], "release": envelope.id}
        return "%s %s, signed by the owner's publishers (%s)" % (process, data["version"], envelope.id)

    def _manifest(self):
        """SPEC-20.15."""
        data, named = self.proof["manifest"], self.release
        need(hashlib.sha256(data).hexdigest() == named["sha256"], "the manifest in the file is not the one that the release names")
        self.listed = manifest(data)
        sizes = (len(data), len(self.listed), sum(size for _, size in self.listed.values()))
        need(sizes == tuple(named["manifest"][key] for key in ("size", "files", "total_size")), "a manifest of other sizes")
        return "%d files of %d bytes in all (sha256:%s)" % (sizes[1], sizes[2], named["sha256"])

    def _files(self):
        """SPEC-20.16."""
        self._statements()
        self._limits()
        missing = sorted(set(self.listed) - set(self.files))
        extra = sorted(set(self.files) - set(self.listed) - {".verbund/provenance.json"})
        changed = sorted(p for p in self.listed if p in self.files and tuple(self.files[p]) != self.listed[p])
        parts = [(what, paths) for what, paths in (("missing", missing), ("changed", changed), ("not of the release", extra)) if paths]
        need(not parts, "; ".join("%s: %s" % (what, ", ".join(map(repr, paths[:5]))) for what, paths in parts))
        return "all %d files are those of the manifest, and there are no others" % len(self.listed)

    def _statements(self):
        """SPEC-20.17. They inform; one that does not count is ignored."""
        for leaf in self.proof["statements"]:
            try:
                self.warnings.append(self._statement(Envelope(leaf)))
            except Refused:
                self.warnings.append("a statement in the file is not by the owner about this release and was ignored")

    def _statement(self, envelope):
        withdrawn = envelope.type == DOCUMENT % "withdrawal"
        common = {"federation": federation_id, "member": member_id, "process": slug, "reason": short, "time_s": whole}
        if withdrawn:
            said = fields(envelope.of("withdrawal"), dict(common, release=sha256, severity=short),
                          {"successor": short, "erase": boolean})
        else:
            said = fields(envelope.of("deprecation"), common, {"release": sha256, "ends": short, "successor": short})
        newest = self.chain[-1]
        about = (newest.federation, self.owner, self.release["metadata"]["id"])
        need((said["federation"], said["member"], said["process"]) == about, "about another process")
        need(said.get("release", self.release_id) == self.release_id, "about another release")
        by = [self.identity] + [i for m, i in newest.identities.items() if m == self.owner]
        need(any(i.may_publish(envelope, about[2]) for i in by), "not by the owner")
        return "%s when it was pulled: %s" % ("withdrawn" if withdrawn else "deprecated", said["reason"])

    def _limits(self):
        """SPEC-20.18: what a file cannot show."""
        newest = self.chain[-1]
        pinned = newest.identities.get(self.owner)
        if pinned is None:
            self.warnings.append("the owner is no longer a member as of charter %d" % newest.version)
        elif pinned.version > self.identity.version:
            self.warnings.append("the charters know identity version %d of the owner, the release was judged by version %d" % (
                pinned.version, self.identity.version))
        self.warnings.append("recalls cannot be known offline, nor whether the log was closed below this release or carries an "
                             "earlier one of the same version: ask a node with `verbund process show`")

    def exit_code(self):
        return {"verified": 0, "unanchored": 8}.get(self.verdict, 6)

    def told(self):
        """What came out, for programs."""
        return {
            "verdict": self.verdict, "anchored": self.anchored, "release": self.facts,
            "steps": [{"name": name, "ok": ok, "text": said} for name, ok, said in self.steps],
            "witnessed": self.witnessed and dict(zip(("count", "of", "needed"), self.witnessed)),
            "checkpoint_time_s": self.time_s, "warnings": self.warnings}


# --- the folder ---------------------------------------------------------------------------------------------------------------------------

def folder(root):
    """All files of a folder but `.verbund/`, with hash and size (SPEC-20.16); what no release can hold is refused."""
    found, pending, names = {}, [(os.fsencode(root), b"")], set()
    while pending:
        directory, prefix = pending.pop()
        for entry in os.scandir(directory):
            if not prefix and entry.name == b".verbund":
                continue
            path = prefix + entry.name
            try:
                name = path.decode("utf-8")
            except UnicodeDecodeError:
                raise Refused("%r: a name that is no UTF-8" % path)
            mode = entry.stat(follow_symlinks=False).st_mode
            need(stat.S_ISDIR(mode) or stat.S_ISREG(mode), "%s: a link or special file, which no release holds" % name)
            if stat.S_ISDIR(mode):
                pending.append((entry.path, path + b"/"))
                continue
            names.add(name)
            digest, size = hashlib.sha256(), 0
            with open(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                for piece in iter(lambda: file.read(1 << 20), b""):
                    digest.update(piece)
                    size += len(piece)
            found[name] = ("sha256:" + digest.hexdigest(), size)
    return found


def visible(said):
    """Text of a file as a terminal may show it."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(said))


def age(seconds):
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d seconds" % max(seconds, 0)


def explain(check, trust):
    """Tells each step as it went."""
    for number, (name, ok, said) in enumerate(check.steps, 1):
        sign = "ok" if ok else ("open" if name == "anchor" else "FAILED")
        print("%2d  %-10s %-6s  %s" % (number, name, sign, visible(said)))
    if check.facts:
        print("\nrelease     %s/%s@%s – %s" % tuple(visible(check.facts[k]) for k in ("handle", "process", "version", "title")))
    if check.time_s is not None:
        stated = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(check.time_s, 253402300799)))
        print("as of       %s, %s ago by this machine's clock" % (stated, age(int(time.time()) - check.time_s)))
    for warning in check.warnings:
        print("note        %s" % visible(warning))
    words = {"verified": "verified", "unanchored": "consistent, unanchored", "failed": "NOT VERIFIED",
             "unreadable": "NOT VERIFIED"}
    print("result      %s" % words[check.verdict])
    if check.verdict == "unanchored":
        print("next        " + ("check the hash that you trust, or name one of an earlier charter" if trust else
                                "repeat with --trust FEDERATION@CHARTER_HASH, from a source that you trust"))
    elif check.verdict != "verified":
        print("next        do not use this folder; pull the release again into an empty one")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Checks a pulled folder against its proof, offline.")
    parser.add_argument("folder", help="the folder that `verbund process pull` made")
    parser.add_argument("--trust", type=trusted, metavar="FEDERATION@HASH", help="what you trust, from elsewhere than the folder")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    options = parser.parse_args(arguments)
    if Ed25519PublicKey is None:
        print("the Python package `cryptography` is missing\n"
              "next:  python3 -m pip install cryptography   (Debian: apt install python3-cryptography)", file=sys.stderr)
        return 2
    if os.path.exists(options.folder) and not os.path.isdir(options.folder):
        print("%s is no folder" % options.folder, file=sys.stderr)
        return 2
    path = os.path.join(options.folder, ".verbund", "provenance.json")
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            data = file.read(PROOF_MAX + 1)
        files = folder(options.folder)
    except Refused as error:
        print("not verified: %s" % visible(error), file=sys.stderr)
        return 6
    except OSError as error:
        print("cannot read %s: %s" % (visible(error.filename or path), error.strerror), file=sys.stderr)
        return 3 if isinstance(error, FileNotFoundError) else 1
    check = Check(data, files, options.trust)
    if options.json:
        print(json.dumps(check.told(), ensure_ascii=False, indent=2))
    else:
        explain(check, options.trust)
    return check.exit_code()


if __name__ == "__main__":
    sys.exit(main())
