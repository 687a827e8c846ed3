"""Federations made by the rules of protocol/SPEC.md, signed with keys of their own, with one document at a time as it should not be, or
as it just may be. What a real node would never sign is here signed well, so that only the rule in question decides."""
import base64
import copy
import functools
import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import verify

FILES = {"modell/a.bpmn": b"<definitions/>", "process.toml": b"title = 'A'\n"}


def b64(data):
    return base64.b64encode(data).decode()


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@functools.lru_cache(maxsize=None)
class Key:
    def __init__(self, *name):
        self.secret = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(repr(name).encode()).digest())
        self.raw = self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.text = "ed25519:" + self.raw.hex()
        self.peer = verify.base58(bytes.fromhex("002408011220") + self.raw)
        self.sign = functools.lru_cache(maxsize=100_000)(self.secret.sign)


def encoded(payload):
    return payload if isinstance(payload, bytes) else verify.canonical(payload).encode()


def sealed(kind, payload, keys):
    """An envelope around a payload."""
    payload = encoded(payload)
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signatures = [{"keyid": key.text, "sig": b64(key.sign(message))} for key in keys]
    return json.dumps({"payload": b64(payload), "payloadType": kind, "signatures": signatures}).encode()


# --- trees, as RFC 6962 defines them ----------------------------------------------------------------------------------------------

def split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tree_root(leaves):
    if len(leaves) == 1:
        return verify.leaf_hash(leaves[0])
    k = split(len(leaves))
    return hashlib.sha256(b"\1" + tree_root(leaves[:k]) + tree_root(leaves[k:])).digest()


def audit_path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return audit_path(m, leaves[:k]) + [tree_root(leaves[k:])]
    return audit_path(m - k, leaves[k:]) + [tree_root(leaves[:k])]


def seeded_path(m, leaves):
    """SUBPROOF(m, D[n], false)."""
    if m == len(leaves):
        return [tree_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return seeded_path(m, leaves[:k]) + [tree_root(leaves[k:])]
    return seeded_path(m - k, leaves[k:]) + [tree_root(leaves[:k])]


class Member:
    def __init__(self, name):
        self.name = name
        self.keys = {role: [Key(name, role, n) for n in (1, 2)] for role in ("root", "approver", "publisher", "nodes")}
        self.identities, self.writers = [], []

    def roles(self):
        roles = {role: {"keys": [k.text for k in self.keys[role]], "threshold": 1} for role in ("root", "approver", "publisher")}
        roles["root"]["threshold"] = 2
        return dict(roles, nodes=[k.text for k in self.keys["nodes"]])

    @property
    def id(self):
        return "member:" + verify.sha256(self.identities[0][0])[len("sha256:"):]


class World:
    """Three members, one log, one release. `tweak` changes a payload before it is signed, by its name; `last` is one change more."""

    def __init__(self, tweak=None, last=None, before=None, signers=None):
        self.tweak, self.signers = tweak or {}, signers or {}
        self.members = [Member(name) for name in ("de-he", "de-rp", "de-sl")]
        self.charters, self.certificates = [], []
        self.version, self.federation, self.prev, self.current = 0, None, None, None
        first = self.members[0]
        for member in self.members:
            self._admit(member)
        self.start = [first.identities[0][1], first.writers[0][1], self.charters[0]]
        self.log = list(self.start) + self.charters[1:]
        for change in before or []:
            change(self)
        self.index = len(self.log)
        self._release()
        for change in last or []:
            change(self)

    def made(self, name, payload):
        """The payload as the tweak of this name leaves it."""
        change = self.tweak.get(name)
        if change is None:
            return payload
        payload = copy.deepcopy(payload)
        changed = change(payload)
        return payload if changed is None else changed

    def seal(self, name, kind, payload, keys):
        payload = encoded(self.made(name, payload))
        keys = self.signers[name](keys) if name in self.signers else keys
        return sha(payload), sealed(kind, payload, keys)

    def identify(self, member):
        """One more version of a member's identity."""
        version = len(member.identities) + 1
        payload = {"version": version, "handle": member.name, "names": {"de": member.name.upper()}, "roles": member.roles()}
        if version > 1:
            payload.update(member=member.id, prev=member.identities[-1][0])
        made = self.seal("identity %s %d" % (member.name, version), verify.DOCUMENT % "identity", payload, member.keys["root"])
        member.identities.append(made)
        return made

    def write(self, member, closes=None):
        seq = len(member.writers) + 1
        payload = {"member": member.id, "seq": seq, "peer": member.keys["nodes"][(seq - 1) % 2].peer}
        if self.federation:
            payload["federation"] = self.federation
        if seq > 1:
            payload.update(prev=member.writers[-1][0], closes=closes)
        made = self.seal("writer %s %d" % (member.name, seq), verify.DOCUMENT % "writer", payload, member.keys["root"])
        member.writers.append(made)
        return made

    def _admit(self, member):
        identity, writer = self.identify(member), self.write(member)
        change = {"kind": "admit", "member": member.id, "handle": member.name, "standing": "full", "identity": identity[0],
                  "writer": writer[0]}
        if self.current is None:
            entry = {key: change[key] for key in change if key != "kind"}
            self.current = {"version": 1, "founded_s": 1, "members": [entry], "rules": {"name": "Mitte", "slug": "mitte"}}
            self.certify(change, [identity], [writer], voters=[member])
        else:
            self.decide(change, [identity], [writer])

    def decide(self, change, identities=(), writers=(), stops=None, voters=None):
        """The charter that follows by a change."""
        made = {"change": change, "stops": stops} if stops else {"change": change}
        self.current = verify.successor(self.current, self.prev, self.federation, made)
        if not self.current.get("stops"):
            self.current.pop("stops", None)
        self.certify(change, identities, writers, voters)

    def certify(self, change, identities, writers, voters=None):
        base, self.version = self.version, self.version + 1
        voters = voters or [m for m in self.members if m.identities and self.entry_before(m)]
        payload = encoded(self.made("charter %d" % self.version, self.current))
        try:
            self.current = verify.charter(payload)
        except verify.Refused:
            pass  # what follows, follows from the charter as it should be
        hash_ = sha(payload)
        federation = self.federation or "federation:" + hash_[len("sha256:"):]
        approvals, precommits = [], []
        for m in voters:
            approval = {"federation": federation, "member": m.id, "base_version": base, "change": change}
            approvals.append(self.seal("approval %d %s" % (self.version, m.name), verify.DOCUMENT % "approval", approval,
                                       m.keys["approver"][:1]))
            node = m.keys["nodes"][(len(m.writers) - 1) % 2]
            vote = {"height": self.version, "round": 0, "type": "precommit", "value": hash_, "pol_round": None, "member": m.id,
                    "writer": node.peer}
            if self.federation:
                vote.update(federation=federation, prev=self.prev)
            precommits.append(self.seal("precommit %d %s" % (self.version, m.name), verify.DOCUMENT % "ordering", vote, [node]))
        parts = {"identities": identities, "writers": writers, "approvals": approvals, "precommits": precommits}
        bundle = {name: [envelope for _, envelope in part] for name, part in parts.items()}
        bundle = self.made("bundle %d" % self.version, dict(bundle, payload=payload))
        self.certificates.append({name: [b64(e) for e in part] if name != "payload" else b64(part)
                                  for name, part in bundle.items()})
        self.charters.append(sealed(verify.DOCUMENT % "charter", payload, []))
        self.federation, self.prev = federation, hash_
        self.before = {entry["member"] for entry in self.current["members"] if entry["standing"] == "full"}

    def entry_before(self, member):
        return member.id in self.before

    def release_payload(self, manifest):
        metadata = {
            "id": "hundesteuer", "version": "1.0.0", "title": "Hund anmelden", "summary": "Ein Prozess", "level": ["kommunal"],
            "platform": {"name": "civento"}, "license": "EUPL-1.2", "maintenance": {"kind": "internal"},
            "change": {"kind": "fachlich", "text": "Erste Fassung"}, "contact": "prozesse@example.de"}
        total = sum(len(data) for data in FILES.values())
        sizes = {"size": len(manifest), "files": len(FILES), "total_size": total}
        predicate = {"federation": self.federation, "member": self.members[0].id, "time_s": 1, "manifest": sizes,
                     "metadata": self.made("metadata", metadata)}
        digest = {"sha256": hashlib.sha256(manifest).hexdigest(), "blake3": "00" * 32}
        return {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "manifest.json", "digest": digest}],
                "predicateType": "urn:verbund:release:v1", "predicate": predicate}

    def _release(self):
        files = [{"path": path, "size": len(data), "media_type": "text/plain", "sha256": hashlib.sha256(data).hexdigest(),
                  "blake3": "00" * 32} for path, data in sorted(FILES.items())]
        listed = self.made("manifest", {"format": 1, "files": files})
        self.manifest = encoded(listed)
        payload = self.release_payload(self.manifest)
        try:
            entries = listed["files"]
            payload["predicate"]["manifest"].update(files=len(entries), total_size=sum(f["size"] for f in entries))
            self.files = {f["path"]: ("sha256:" + f["sha256"], f["size"]) for f in entries}
            assert all(size >= 0 for _, size in self.files.values())
        except (TypeError, KeyError, AssertionError):
            self.files = {path: (sha(data), len(data)) for path, data in FILES.items()}
        _, envelope = self.seal("release", verify.RELEASE_TYPE, payload, self.members[0].keys["publisher"][:1])
        self.log.append(envelope)

    def proof(self):
        first = self.members[0].keys["nodes"][0]
        # Both sides of all sizes: an odd entry at the end.
        leaves = self.log + [sealed(verify.DOCUMENT % "adoption", {}, [])]
        name = "verbund.v1/%s/%s" % (self.federation[len("federation:"):], first.peer)
        body = "%s\n%d\n%s\n" % (name, len(leaves), b64(tree_root(leaves)))
        lines = ["\u2014 %s %s" % (name, b64(verify._key_id(name, 1, first.raw) + first.sign(body.encode())))]
        for member in self.members[1:]:
            node = member.keys["nodes"][0]
            cosigner = "verbund.v1/node/" + node.peer
            message = b"cosignature/v1\ntime 7\n" + body.encode()
            data = verify._key_id(cosigner, 4, node.raw) + (7).to_bytes(8, "big") + node.sign(message)
            lines.append("\u2014 %s %s" % (cosigner, b64(data)))
        hashes = lambda at: ["sha256:" + h.hex() for h in audit_path(at, leaves)]  # noqa: E731
        entries = [{"index": at, "leaf": b64(leaf), "proof": hashes(at)} for at, leaf in enumerate(self.log) if at != self.index]
        proof = {
            "format": 1, "federation": self.federation, "pulled_at_s": 1, "served_by": first.peer, "log": first.peer,
            "index": self.index, "release": b64(self.log[self.index]), "proof": hashes(self.index),
            "checkpoint": body + "\n" + "\n".join(lines) + "\n", "entries": entries, "charters": self.certificates,
            "manifest": b64(self.manifest), "statements": []}
        end = getattr(self, "ends_at", None)
        if end is not None and end != len(leaves):
            small, large = sorted((end, len(leaves)))
            proof["end"] = {"from": small, "to": large, "hashes": ["sha256:" + h.hex() for h in seeded_path(small, leaves[:large])]}
        return self.made("proof", proof)

    def trust(self):
        return "%s@%s" % (self.federation, self.prev)


# --- what is tried ------------------------------------------------------------------------------------------------------------------

NOTHING = object()
VALUES = [None, "", "x", "de-he/hund", "de-he/hund@1.0.0", 0, -1, 255, 256, 2**53, [], {}, ["x"], [1], [None], [["x"]], ["x", "y"],
          {"name": "x"}, [{"name": "x"}], {"kind": "x"}, {"kind": "x", "text": "y"}, {"kind": "x", "text": None}, True, "x" * 151,
          "x" * 301, "x" * 2_001, ["x"] * 51, ["x"] * 501, {"members": ["de-he"]}, NOTHING]


def setting(path, value):
    """A tweak that sets or removes what lies at `path`."""
    def change(payload):
        place = payload
        for key in path[:-1]:
            place = place[key]
        if value is NOTHING:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = value
    return change


def of_metadata():
    for key in list(verify._METADATA) + list(verify._METADATA_OPTIONAL) + ["unknown"]:
        for value in VALUES:
            yield "metadata", (key,), value
    for path, values in {
        ("version",): ["1", "1.0", "1.0.0-", "1.0.0-a.b", "1.0.0-01", "1.0.0-0a", "1.0.0+b", "01.0.0", "1.0.0-ä", " 1.0.0",
                       "18446744073709551615.0.0", "18446744073709551616.0.0", "1.0.0-99999999999999999999", "1.0.0-a..b", "1.0.0--"],
        ("id",): ["Hund", "-a", "a-", "a" * 64, "a" * 65, "a_b", "a--b", "9", "hundesteuer\n"],
        ("succeeds",): ["mitte:de-he/hund", "a:b:c/d", "de-he/", "/x", "de-he/x/y", "De-he/x", "a/x", "de-he/x@1.0.0"],
        ("based_on",): [{"release": "de-he/x@1.0.0+b", "digest": "sha256:" + "00" * 32}, {"release": "de-he/x", "digest": "sha256:" + "00" * 32},
                        {"release": "de-he/x@1.0.0", "digest": "00" * 32}, ["de-he/x@1.0.0", "sha256:" + "00" * 32],
                        {"release": "de-he/x@1@2", "digest": "sha256:" + "00" * 32}],
        ("depends",): [[{"process": "de-he/x", "version": "^1", "kind": "requires"}], [["de-he/x", "^1", "requires"]],
                       [{"process": "x", "version": "^1", "kind": "requires"}], [{"process": "de-he/x", "version": None, "kind": "x"}]],
        ("parameters",): [[{"name": "a", "type": "text", "required": True}], [{"name": "a", "type": "neu", "required": False, "text": None}],
                          [{"name": "a", "type": "text", "required": 1}], [{"name": "a", "type": {"text": None}, "required": True}],
                          [["a", "text", True]]],
        ("fim_status",): [{"status": 255, "list_version": ""}, {"status": 256, "list_version": ""}, {"status": -1, "list_version": ""},
                          [1, "2.0"]],
        ("maturity",): [{"model": "2.0", "level": 3}, ["2.0", 3]],
        ("terms",): [{"path": "a", "sha256": "sha256:" + "00" * 32}, {"sha256": "00" * 32}, {"path": None}, ["a"]],
        ("platform",): [["civento"], ["civento", None, None], {"name": "x", "key": None}, {"name": "x", "min_version": 1}],
        ("change",): [["fachlich", "x"], {"kind": {"fachlich": None}, "text": "x"}, {"kind": "neu", "text": "x" * 2_000}],
        ("audience",): ["public", "other", {"members": []}, {"members": ["de-he"], "x": 1}, [["de-he"]]],
        ("title",): ["x" * 300, "ä" * 300, "ä" * 301, "\u0000", "a\nb"],
        ("description",): ["x" * 10_000, "x" * 10_001],
        ("keywords",): [["x"] * 50, ["x" * 2_001]],
        ("unknown",): [{str(n): 0 for n in range(500)}, {str(n): 0 for n in range(501)}, {"x": ["y" * 2_001]}],
    }.items():
        for value in values:
            yield "metadata", path, value
    deep = []
    for _ in range(28):
        deep = [deep]
    for _ in range(3):
        yield "metadata", ("unknown",), deep
        deep = [deep]


def of_statement():
    for path in [("_type",), ("subject",), ("predicateType",), ("predicate",), ("subject", 0, "name"), ("subject", 0, "digest"),
                 ("subject", 0, "digest", "sha256"), ("subject", 0, "digest", "blake3"), ("predicate", "federation"),
                 ("predicate", "member"), ("predicate", "time_s"), ("predicate", "manifest"), ("predicate", "metadata"),
                 ("predicate", "manifest", "size"), ("predicate", "manifest", "files"), ("predicate", "manifest", "total_size"),
                 ("unknown",), ("predicate", "unknown")]:
        for value in [None, 0, 1, -1, 2**53 - 1, "x", [], {}, ["x"], ["a" * 64, "b" * 64], "00" * 32, "FF" * 32, NOTHING]:
            yield "release", path, value
    yield "release", ("subject", 0), ["manifest.json", {"sha256": "00" * 32, "blake3": "00" * 32}]


PATHS = ["a", "a/b", "ä", "a\u0308", ".", "..", "a/..", "a/.", "./a", "/a", "a//b", "a/", "", "C:a", "c:", "ab:c", "a\\b", "a.", "a ", " a",
         ".verbund", ".verbund/x", ".VERBUND/x", ".Verbund", "x/.verbund", "a\u0000", "a\n", "a\u007f", "a\u0085", "a\u200e", "a\u200f",
         "a\u202e", "a\u2028", "a\u2029", "a\u2066", "a\u2069", "a\u206a", "a\ufeff", "a\u200b", "a\u00ad", "x" * 255, "x" * 256,
         "/".join(["x"] * 32), "/".join(["x"] * 33), "/".join(["x" * 200] * 2 + ["x" * 110]), "/".join(["x" * 200] * 2 + ["x" * 111]),
         "\u00e9" * 127, "\u00e9" * 128, "a\u0301", "\u212b", "\uac00", "\u1100\u1161", "\U0001f600", "\u0344", "con", "a:b", "a?b", "~$a"]
TWINS = [("a", "A"), ("Ä", "ä"), ("a/x", "A/y"), ("ß", "ss"), ("ß", "ẞ"), ("ſ", "s"), ("K", "\u212a"), ("İ", "i"), ("ı", "I"), ("ı", "i"),
         ("σ", "ς"), ("ǅ", "ǆ"), ("ﬀ", "ff"), ("ŉ", "ʼn"), ("µ", "μ"), ("a", "a/b"), ("a/b", "a/b/c"), ("A/b", "a"), ("\u1e9b", "ṡ"),
         ("ᲀ", "в"), ("Ꭰ", "ꭰ"), ("\u0345", "ι"), ("ΐ", "ΐ"), ("\U00010400", "\U00010428"), ("θ", "ϴ"), ("Ω", "Ω"), ("ᾳ", "ᾼ")]


def _file(path, size=1, media="text/plain"):
    return {"path": path, "size": size, "media_type": media, "sha256": "00" * 32, "blake3": "00" * 32}


def of_manifest():
    def files(*entries):
        return lambda payload: dict(payload, files=sorted(entries, key=lambda f: f["path"].encode("utf-8", "surrogatepass")))
    for path in PATHS:
        yield "path %r" % path, files(_file(path))
    for pair in TWINS:
        yield "paths %r and %r" % pair, files(*map(_file, pair))
    for media in ["text/plain", "Text/plain", "text", "a/b/c", "/b", "a/", "a/b;c", "a/!b", "a/b!#$&-^_.+", "!a/b", "a/" + "b" * 125,
                  "a/" + "b" * 126, "a/b c", "ä/b", ""]:
        yield "media type %r" % media, files(_file("a", media=media))
    for size in (0, 2**53 - 1, 2**53, -1, "1", None, True):
        yield "size %r" % size, files(_file("a", size)) if isinstance(size, int) and not isinstance(size, bool) else (
            lambda payload, size=size: dict(payload, files=[_file("a", size)]))
    yield "sizes beyond together", files(_file("a", 2**53 - 1), _file("b", 1))
    yield "no files", files()
    yield "unsorted", lambda payload: dict(payload, files=[_file("b"), _file("a")])
    yield "twice", lambda payload: dict(payload, files=[_file("a"), _file("a")])
    yield "sorted by UTF-16", files(_file("\uff5e"), _file("\U00010000"))
    yield "unknown key", lambda payload: dict(payload, more=1)
    yield "unknown key in a file", lambda payload: dict(payload, files=[dict(f, more=[None]) for f in payload["files"]])
    for value in (2, 0, None, "1", True):
        yield "format %r" % value, lambda payload, value=value: dict(payload, format=value)
    text = lambda payload: verify.canonical(payload)  # noqa: E731
    yield "spaces", lambda payload: json.dumps(payload, indent=1).encode()
    yield "fraction of an unknown key", lambda payload: text(payload).replace('"format":1', '"format":1,"more":1.5').encode()
    yield "unknown key twice", lambda payload: text(payload).replace('"format":1', '"format":1,"more":1,"more":2').encode()
    yield "unknown key, twice inside", lambda payload: text(payload).replace('"format":1', '"format":1,"more":{"a":1,"a":2}').encode()
    yield "huge unknown number", lambda payload: text(payload).replace('"format":1', '"format":1,"more":%d' % 2**53).encode()
    yield "deep unknown", lambda payload: text(payload).replace('"format":1', '"format":1,"more":' + "[" * 40 + "]" * 40).encode()
    yield "lone surrogate", lambda payload: text(payload).replace('"format":1', '"format":1,"more":"\\ud800"').encode()
    yield "file as array", lambda payload: dict(payload, files=[["a", 1, "text/plain", "00" * 32, "00" * 32]])
    yield "byte order mark", lambda payload: b"\xef\xbb\xbf" + text(payload).encode()
    yield "newline", lambda payload: text(payload).encode() + b"\n"


def of_documents():
    """Payloads of identities, writers, approvals, precommits and charters."""
    first, second = "identity de-he 1", "identity de-rp 1"
    for path, values in {
        ("version",): [0, 2, "1", None, NOTHING], ("member",): [None, "member:" + "00" * 32], ("prev",): [None, "sha256:" + "00" * 32],
        ("handle",): ["de-hessen", "D", "d", "de-", "9de", "de_he", "d" * 32, "d" * 33, None],
        ("names",): [{}, None, {"de": ""}, {"": "x"}, {"de": "x" * 300}, {"de": "x" * 301}, {"de": "a\tb"}, {"x" * 300: "y"}, [],
                     {str(n): "x" for n in range(8)}, {str(n): "x" for n in range(9)}, {"de": "\u00ad"}, {"de": "\u0085"}],
        ("ags",): ["06", "0", "06411000", "064110000", "0x", None, 6, "٠٦"],
        ("contact",): ["", "x", None, "x" * 301, 1], ("valid_until",): ["", "x", "2027-01-01", None], ("unknown",): [1, None, {"a": []}],
        ("roles", "nodes"): [[], None, "x"], ("roles", "unknown"): [1],
        ("roles", "root", "threshold"): [0, 1, 3, "1", None, 2**32], ("roles", "approver", "threshold"): [2, 0],
        ("roles", "publisher", "threshold"): [0, 2, 3], ("roles", "publisher", "slugs"): [None, {}, [], {"x": []}],
        ("roles", "root"): [[["x"], 1], None], ("roles", "publisher"): [None], ("roles",): [[], None],
    }.items():
        for value in values:
            yield first, setting(path, value)
            yield second, setting(path, value)
    keys = Member("de-he").keys
    publisher, other = keys["publisher"][0].text, keys["publisher"][1].text
    for slugs in ({publisher: ["hundesteuer"]}, {publisher: []}, {publisher: ["anderes"]}, {other: ["anderes"]},
                  {publisher: ["hundesteuer", "hundesteuer"]}, {publisher: ["H"]}, {Key("x").text: ["anderes"]}, {publisher: None},
                  {publisher: "hundesteuer"}, {publisher.upper(): ["hundesteuer"]}, {publisher: ["x%d" % n for n in range(300)]}):
        yield first, setting(("roles", "publisher", "slugs"), slugs)
    for key in ("ed25519:" + "01" + "00" * 31, "ed25519:" + "00" * 32, "ed25519:" + "ff" * 32, "ED25519:" + "00" * 32, "x", 1):
        yield first, setting(("roles", "root", "keys", 1), key)
        yield first, setting(("roles", "approver", "keys", 1), key)
    yield first, setting(("roles", "approver", "keys", 1), keys["root"][0].text)
    yield first, setting(("roles", "nodes"), [keys["nodes"][0].text, Member("de-rp").keys["nodes"][1].text])
    yield first, setting(("roles", "nodes"), [Key(n).text for n in range(15)] + [keys["nodes"][0].text])
    yield first, setting(("roles", "nodes"), [Key(n).text for n in range(16)] + [keys["nodes"][0].text])
    for name in ("writer de-he 1", "writer de-rp 1"):
        for path, values in {
            ("seq",): [0, 2, None, "1"], ("prev",): [None, "sha256:" + "00" * 32], ("closes",): [None, {}],
            ("federation",): [None, NOTHING, "federation:" + "00" * 32], ("member",): ["member:" + "00" * 32], ("unknown",): [1],
            ("peer",): [keys["nodes"][1].peer, Key("x").peer, "x", None, keys["nodes"][0].peer + "1", "1" + keys["nodes"][0].peer],
        }.items():
            for value in values:
                yield name, setting(path, value)
    for name, kept in (("approval 3 de-he", False), ("approval 4 de-he", True), ("approval 1 de-he", False)):
        for path, values in {
            ("federation",): ["federation:" + "00" * 32, None, NOTHING], ("member",): ["member:" + "00" * 32, None],
            ("base_version",): [0, 1, 99, None], ("unknown",): [1, None], ("change",): [None, {}, {"kind": "expel"}],
            ("change", "kind"): ["neu", None], ("change", "unknown"): [1, None], ("change", "name"): [None, "x", ""],
        }.items():
            for value in values:
                yield name, setting(path, value)
        yield name, lambda payload: json.dumps(payload, indent=1).encode()
    for name in ("precommit 1 de-he", "precommit 3 de-he", "precommit 4 de-he"):
        for path, values in {
            ("federation",): ["federation:" + "00" * 32, None, NOTHING], ("prev",): [None, "sha256:" + "00" * 32],
            ("height",): [0, 1, 2, 99], ("round",): [1, -1, 2**32 - 1, 2**32, None], ("unknown",): [1, None], ("value",): [None, NOTHING],
            ("type",): ["prevote", "proposal", "Precommit", "neu", {"precommit": None}], ("pol_round",): [NOTHING, 0, -1],
            ("member",): ["member:" + "00" * 32], ("writer",): [Key("x").peer, keys["nodes"][1].peer, "x"],
        }.items():
            for value in values:
                yield name, setting(path, value)
        yield name, lambda payload: json.dumps(payload, indent=1).encode()
    for version in (1, 2):
        name = "charter %d" % version
        for path, values in {
            ("version",): [0, version + 1, None], ("founded_s",): [0, 2**53 - 1, -1, None], ("unknown",): [1, None], ("stops",): [[], None],
            ("predecessor",): [None, "federation:" + "00" * 32, "x"], ("prev",): [None, "sha256:" + "00" * 32, NOTHING],
            ("federation",): ["federation:" + "00" * 32], ("change",): [None],
            ("rules", "name"): ["", "x", "x" * 300, "x" * 301, "a\nb", None], ("rules", "slug"): ["x", "X", "-"],
            ("rules", "license"): ["x", "", None], ("rules", "terms"): ["x", "", None], ("rules", "unknown"): [1],
            ("rules", "agreement"): [None, {"title": "x", "sha256": "sha256:" + "00" * 32}, {"title": "x"},
                                     {"title": "", "sha256": "sha256:" + "00" * 32}, {"title": "x", "uri": None, "sha256": "sha256:" + "00" * 32},
                                     {"title": "x", "uri": "u", "sha256": "sha256:" + "00" * 32, "more": 1}],
            ("members", 0, "standing"): ["associate", "neu"], ("members", 0, "handle"): ["de-by", "X"], ("members", 0, "unknown"): [1],
            ("members",): [[]],
        }.items():
            for value in values:
                yield name, setting(path, value)
        yield name, lambda payload: json.dumps(payload).encode()
        yield name, lambda payload: verify.canonical(payload).encode() + b"\n"


def rotated(world):
    """A second identity of the owner, with other keys to publish, in the log before the release."""
    owner = world.members[0]
    owner.keys["publisher"] = [Key("new", n) for n in (1, 2)]
    world.log.append(world.identify(owner)[1])


def pinned(world):
    """The same, and a charter pins it."""
    owner = world.members[0]
    owner.keys["publisher"] = [Key("new", n) for n in (1, 2)]
    identity = world.identify(owner)
    world.decide({"kind": "amend", "member": owner.id, "identity": identity[0]}, [identity])
    world.log.append(world.charters[-1])


def amended(**change):
    def apply(world):
        fixed = dict(change)
        if "of" in fixed:
            fixed["member"] = world.members[fixed.pop("of")].id
        world.decide(dict(fixed, kind="amend"))
        world.log.append(world.charters[-1])
    return apply


def expelled(at, end):
    def apply(world):
        member = world.members[at]
        size = len(world.log) + end
        leaves = world.log[:size]
        stop = {"log": member.keys["nodes"][0].peer, "size": size, "root": "sha256:" + tree_root(leaves).hex()}
        if at == 0:
            world.ends_at = size
        world.decide({"kind": "expel", "member": member.id}, stops=[stop])
        if at != 0:
            world.log.append(world.charters[-1])
    return apply


def handed_over(end, pin=True):
    def apply(world):
        member = world.members[0]
        size = len(world.log) + end
        closes = {"log": member.keys["nodes"][0].peer, "size": size, "root": "sha256:" + tree_root(world.log[:size]).hex()}
        before = member.writers[:]
        writer = world.write(member, closes)
        member.writers = before  # the old node still votes
        change = {"kind": "amend", "member": member.id, "writer": writer[0]} if pin else {"kind": "amend", "name": "Anders"}
        world.decide(change, writers=[writer])
        if pin:
            world.ends_at = size
    return apply


HISTORIES = {
    "rotated": dict(before=[rotated]), "pinned": dict(before=[pinned]), "renamed": dict(before=[amended(name="Nord")]),
    "licensed": dict(before=[amended(license="MIT")]), "associate": dict(before=[amended(of=2, standing="associate")]),
    "other handle": dict(before=[amended(of=0, handle="de-hessen")]), "renamed after": dict(last=[amended(name="Nord")]),
    "empty amendment": dict(before=[amended()]), "same handle": dict(before=[amended(of=0, handle="de-he")]),
    "taken handle": dict(before=[amended(of=0, handle="de-rp")]),
    "short name": dict(before=[amended(name="")]), "rotated after": dict(last=[rotated]), "other expelled": dict(before=[expelled(1, 0)]),
    "expelled below": dict(last=[expelled(0, -1)]), "expelled above": dict(last=[expelled(0, 0)]),
    "expelled above by a charter unseen": dict(last=[lambda w: w.log.append(w.start[0]), expelled(0, -1)]),
    "handed over above": dict(last=[handed_over(0)]), "handed over below": dict(last=[handed_over(-1)]),
    "handed over, not pinned": dict(last=[handed_over(-1, pin=False)]),
}


def of_bundles():
    """Certificates with parts that are not needed, missing, or too many."""
    junk = sealed("application/json", {}, [])
    for version in (1, 3):
        for part in ("identities", "writers", "approvals", "precommits"):
            yield "bundle %d" % version, "junk in " + part, lambda b, part=part: dict(b, **{part: b[part] + [junk]})
            yield "bundle %d" % version, "no JSON in " + part, lambda b, part=part: dict(b, **{part: b[part] + [b"{}"]})
            yield "bundle %d" % version, "none of " + part, lambda b, part=part: dict(b, **{part: []})
            yield "bundle %d" % version, "all twice of " + part, lambda b, part=part: dict(b, **{part: b[part] * 2})
            yield "bundle %d" % version, "1,024 and more of " + part, lambda b, part=part: dict(b, **{part: b[part] * 1_024})
            yield "bundle %d" % version, "reversed " + part, lambda b, part=part: dict(b, **{part: b[part][::-1]})
    extra = Member("de-by")
    first = World()
    payload = {"version": 1, "handle": extra.name, "names": {"de": "BY"}, "roles": extra.roles()}
    foreign = sealed(verify.DOCUMENT % "identity", payload, extra.keys["root"])
    unsigned = sealed(verify.DOCUMENT % "identity", payload, [])
    old = base64.b64decode(first.certificates[0]["identities"][0])
    for name, part in (("a stranger's identity", foreign), ("an unsigned identity", unsigned), ("an identity known before", old)):
        yield "bundle 3", name, lambda b, part=part: dict(b, identities=b["identities"] + [part])
        yield "bundle 3", name + " first", lambda b, part=part: dict(b, identities=[part] + b["identities"])


def of_signers():
    stranger = Key("stranger")
    names = ["release", "identity de-he 1", "identity de-rp 1", "writer de-he 1", "writer de-rp 1", "approval 3 de-he", "precommit 3 de-he",
             "approval 1 de-he", "precommit 1 de-he"]
    for name in names:
        yield name, "nobody", lambda keys: []
        yield name, "a stranger", lambda keys: [stranger]
        yield name, "a stranger too", lambda keys: [stranger] + list(keys)
        yield name, "the first", lambda keys: list(keys)[:1]
        yield name, "sixteen strangers", lambda keys: [Key("s", n) for n in range(15)] + list(keys)[:1]
        yield name, "seventeen", lambda keys: [Key("s", n) for n in range(16)] + list(keys)[:1]


class Weak:
    """Signs what a lenient check accepts and a strict one refuses. `y`: a public key of small order; none: one that is sound, and an R
    of small order instead."""

    def __init__(self, y=None, sign=0):
        self.sound = Key("weak")
        raw = hashlib.sha512(hashlib.sha256(repr(("weak",)).encode()).digest()).digest()[:32]
        number = bytearray(raw)
        number[0] &= 248
        number[31] = number[31] & 127 | 64
        self.scalar = int.from_bytes(number, "little")
        self.raw = self.sound.raw if y is None else (y | sign << 255).to_bytes(32, "little")
        self.text = "ed25519:" + self.raw.hex()
        self.small = y is not None

    def sign(self, message):
        order = verify.GROUP_ORDER
        if not self.small:
            point = b"\1" + bytes(31)
            hashed = int.from_bytes(hashlib.sha512(point + self.raw + message).digest(), "little") % order
            return point + (hashed * self.scalar % order).to_bytes(32, "little")
        for n in range(400):
            seed = hashlib.sha256(b"%d" % n).digest()
            point = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            hashed = int.from_bytes(hashlib.sha512(point + self.raw + message).digest(), "little") % order
            if hashed % 8 == 0:  # then the key takes no part in the equation
                number = bytearray(hashlib.sha512(seed).digest()[:32])
                number[0] &= 248
                number[31] = number[31] & 127 | 64
                return point + (int.from_bytes(number, "little") % order).to_bytes(32, "little")
        raise AssertionError("no such signature found")


def of_weak_keys():
    """A release that only a weak signature signs."""
    p, eighth = verify.P, verify._Y8
    keys = [Weak()] + [Weak(y, sign) for y in (0, 1, p - 1, eighth, p - eighth, p, p + 1) for sign in (0, 1)]
    for key in keys:
        yield "a release by a weak key %s" % key.raw.hex(), key


def all_of(emit):
    def tried(name, **how):
        try:
            world = World(**how)
            proof = world.proof()
        except verify.Refused:
            return  # cannot even be signed: a change that gives no charter
        emit(name, proof, world.files, world.trust())
    tried("as it is")
    for name, how in HISTORIES.items():
        tried(name, **how)
    for name, path, value in list(of_metadata()) + list(of_statement()):
        shown = "removed" if value is NOTHING else "%.60r" % (value,)
        tried("%s %s: %s" % (name, "/".join(map(str, path)), shown), tweak={name: setting(path, value)})
    for name, change in of_manifest():
        tried("manifest: " + name, tweak={"manifest": change})
    for number, (name, change) in enumerate(of_documents()):
        tried("%s, change %d" % (name, number), tweak={name: change})
        if not name.startswith("identity") or number % 3 == 0:
            tried("%s, change %d, with a fourth charter" % (name, number), tweak={name: change}, before=[amended(name="Nord")])
    for name, what, change in of_bundles():
        tried("%s: %s" % (name, what), tweak={name: change})
    for name, what, change in of_signers():
        tried("%s signed by %s" % (name, what), signers={name: change})
    lenient = 0
    for name, key in of_weak_keys():
        tried(name, tweak={"identity de-he 1": setting(("roles", "publisher", "keys", 0), key.text)},
              signers={"release": lambda keys, key=key: [key]})
        try:
            Ed25519PublicKey.from_public_bytes(key.raw).verify(key.sign(b"x"), b"x")
            lenient += 1
        except InvalidSignature:
            pass
    assert lenient > 5, "signatures that a lenient check accepts: %d" % lenient
