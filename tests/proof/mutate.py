"""Changes proofs in one place at a time, and says how `scripts/verify.py` judges each; the test that runs it compares.

    mutate.py folder DIR FEDERATION@CHARTER      a pulled folder
    mutate.py vectors DIR                        the golden vectors of proofs, and all changes of one of them
    mutate.py forged                             federations of its own making, see forge.py

Prints one JSON object a line: name, proof (base64), files, trust, exit. Needs `cryptography`. The seed of what is drawn is SEED.
"""
import base64
import copy
import functools
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import verify  # noqa: E402

# Most signatures are the same from one change to the next.
verify.signed_by = functools.lru_cache(maxsize=200_000)(verify.signed_by)

DRAW = random.Random(int(os.environ.get("SEED", "1")))
ENVELOPES = ("release", "leaf", "statements", "identities", "writers", "approvals", "precommits")


def emit(name, proof, files, trust):
    data = proof if isinstance(proof, bytes) else json.dumps(proof).encode()
    check = verify.Check(data, files, verify.trusted(trust) if trust else None)
    failed = [step for step in check.steps if not step[1]]
    # A forged size may be a truth value, which Python takes for a number.
    plain = {path: (digest, int(size)) for path, (digest, size) in files.items()}
    print(json.dumps({"name": name, "proof": base64.b64encode(data).decode(), "files": plain, "trust": trust,
                      "exit": check.exit_code(), "why": failed[-1][2] if failed else ""}))


def b64(data):
    return base64.b64encode(data).decode()


def flipped(data):
    at = DRAW.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << DRAW.randrange(8))]) + data[at + 1:]


def places(value, path=()):
    """All places in a JSON value; of a long list the first two, the last, and one drawn."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        some = {0, 1, len(value) - 1, DRAW.randrange(len(value))} if value else set()
        for at in sorted(i for i in some if i < len(value)):
            yield from places(value[at], path + (at,))


def get(value, path):
    for key in path:
        value = value[key]
    return value


def with_value(value, path, new):
    changed = copy.deepcopy(value)
    get(changed, path[:-1])[path[-1]] = new
    return changed


def without(value, path):
    changed = copy.deepcopy(value)
    del get(changed, path[:-1])[path[-1]]
    return changed


def of_type(value):
    """Values of other kinds, and near ones of the same kind."""
    yield "null", None
    for name, other in (("0", 0), ("true", True), ("text", ""), ("list", []), ("object", {}), ("list of text", ["a"])):
        if type(other) is not type(value):
            yield name, other
    if isinstance(value, bool):
        yield "negated", not value
    elif isinstance(value, int):
        for other in (value + 1, value - 1, 2**53 - 1, 2**53, -1, 2**64, value + 0.0):
            yield "%r" % other, other
    elif isinstance(value, dict):
        yield "array", list(value.values())
        yield "unknown key", dict(value, unknown=1)
    elif isinstance(value, list) and value:
        yield "first twice", value[:1] + value
        yield "reversed", value[::-1]
        yield "none", []
    elif isinstance(value, str):
        yield from of_text(value)


def of_text(value):
    yield "longer", value + "A"
    yield "space", value + " "
    if value:
        yield "shorter", value[:-1]
        yield "upper case", value.upper()
        at = DRAW.randrange(len(value))
        yield "other character", value[:at] + chr(ord(value[at]) ^ 1 or 65) + value[at + 1:]
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        return
    if len(data) > 16:
        yield "flipped byte", b64(flipped(data))
        yield "one byte less", b64(data[:-1])
        yield "one byte more", b64(data + b"\n")
        yield "URL-safe", base64.urlsafe_b64encode(data).decode()
        yield "no padding", value.rstrip("=")
        yield "line break", value[:8] + "\n" + value[8:]


def envelopes(proof):
    """Places of envelopes in a proof."""
    for path in places(proof):
        if isinstance(get(proof, path), str) and (path[-1] in ENVELOPES or len(path) > 1 and path[-2] in ENVELOPES):
            yield path


def of_envelope(data):
    """Changes of an envelope that leave it JSON."""
    envelope = json.loads(data)
    yield "spaces", json.dumps(envelope, indent=1).encode()
    yield "sorted", json.dumps(envelope, sort_keys=True).encode()
    yield "unknown key", json.dumps(dict(envelope, more=[1, None])).encode()
    yield "unknown fraction", json.dumps(dict(envelope, more=1.5)).encode()
    yield "key twice", data.replace(b'{', b'{"payloadType":"a",', 1)
    yield "other type", json.dumps(dict(envelope, payloadType="application/json")).encode()
    payload = base64.b64decode(envelope["payload"])
    for name, other in (("space in the payload", payload + b" "), ("flipped payload", flipped(payload)),
                        ("payload in order", json.dumps(json.loads(payload), indent=1).encode())):
        yield name, json.dumps(dict(envelope, payload=b64(other))).encode()
    signatures = envelope["signatures"]
    for at, signature in enumerate(signatures):
        rest = signatures[:at] + signatures[at + 1:]
        raw = base64.b64decode(signature["sig"])
        variants = {
            "dropped": rest, "twice": signatures + [signature],
            "twice, upper case": signatures + [dict(signature, keyid=signature["keyid"].upper())],
            "flipped": rest + [dict(signature, sig=b64(flipped(raw)))],
            "short": rest + [dict(signature, sig=b64(raw[:-1]))],
            "no base64": rest + [dict(signature, sig="?")],
            "S plus the order": rest + [dict(signature, sig=b64(high(raw)))],
            "small-order R": rest + [dict(signature, sig=b64(b"\1" + bytes(31) + raw[32:]))],
            "other key": rest + [dict(signature, keyid="ed25519:" + "01" + "00" * 31)],
            "no keyid": rest + [{"sig": signature["sig"]}],
            "one more": signatures + [{"keyid": "rsa:1", "sig": "AA=="}],
            "seventeen": signatures + [{"keyid": str(n), "sig": ""} for n in range(17)],
        }
        for name, changed in variants.items():
            yield "signature %d %s" % (at, name), json.dumps(dict(envelope, signatures=changed)).encode()
    if not signatures:
        yield "seventeen", json.dumps(dict(envelope, signatures=[{"keyid": str(n), "sig": ""} for n in range(17)])).encode()


def high(raw):
    scalar = int.from_bytes(raw[32:], "little") + verify.GROUP_ORDER
    return raw[:32] + scalar.to_bytes(32, "little")


def of_note(note):
    """Changes of a note."""
    body, lines = note.split("\n\n")
    origin, size, root = body.split("\n")
    lines = lines.rstrip("\n").split("\n")
    joined = lambda body, lines: body + "\n\n" + "\n".join(lines) + "\n"  # noqa: E731
    for at, line in enumerate(lines):
        yield "line %d dropped" % at, joined(body, lines[:at] + lines[at + 1:])
        yield "line %d twice" % at, joined(body, lines + [line])
        dash, name, data = line.split(" ")
        raw = base64.b64decode(data)
        for what, other in (("flipped", flipped(raw)), ("short", raw[:-1]), ("long", raw + b"A"), ("of four bytes", raw[:4]),
                            ("with another key id", bytes([raw[0] ^ 1]) + raw[1:]), ("of later", raw[:4] + b"\xff" * 8 + raw[12:]),
                            ("replayed one second later", raw[:4] + (int.from_bytes(raw[4:12], "big") + 1 & 2**64 - 1).to_bytes(8, "big")
                             + raw[12:])):
            yield "line %d %s" % (at, what), joined(body, lines[:at] + [" ".join((dash, name, b64(other)))] + lines[at + 1:])
        yield "line %d with a plus" % at, joined(body, lines[:at] + [" ".join((dash, name + "+", data))] + lines[at + 1:])
        yield "line %d of another" % at, joined(body, lines[:at] + [" ".join((dash, "example.org", data))] + lines[at + 1:])
        yield "line %d with a hyphen" % at, joined(body, lines[:at] + [" ".join(("-", name, data))] + lines[at + 1:])
        yield "line %d with a space" % at, joined(body, lines[:at] + [line + " "] + lines[at + 1:])
    yield "reversed", joined(body, lines[::-1])
    yield "unknown line", joined(body, lines + ["\u2014 example.org AAAAAAA="])
    yield "316 lines and more", joined(body, lines + ["\u2014 example.org AAAAAAA="] * (317 - len(lines)))
    yield "316 lines", joined(body, lines + ["\u2014 example.org AAAAAAA="] * (316 - len(lines)))
    yield "own line last", joined(body, lines[1:] + lines[:1])
    for name, changed in (("larger", (origin, str(int(size) + 1), root)), ("zero in front", (origin, "0" + size, root)),
                          ("size 0", (origin, "0", root)), ("extension", (origin, size, root, "more")), ("no root", (origin, size)),
                          ("other root", (origin, size, b64(bytes(32)))), ("short root", (origin, size, b64(bytes(31)))),
                          ("huge", (origin, str(2**53), root)), ("plus", (origin, "+" + size, root)),
                          ("other origin", (origin + "x", size, root))):
        yield name, joined("\n".join(changed), lines)
    yield "carriage returns", note.replace("\n", "\r\n")
    yield "no last newline", note[:-1]
    yield "one newline more", note + "\n"
    yield "no signatures", body + "\n\n"
    yield "three newlines", note.replace("\n\n", "\n\n\n")


def of_text_form(proof):
    """Changes of the JSON text that no value shows."""
    text = json.dumps(proof)
    yield "byte order mark", b"\xef\xbb\xbf" + text.encode()
    yield "spaces around", (" \n\t\r" + text + "\n\n").encode()
    yield "something after", (text + "{}").encode()
    yield "form feed", (text + "\f").encode()
    yield "format twice", text.replace('{', '{"format": 1, ', 1).encode()
    yield "index twice", text.replace('{', '{"index": 4, ', 1).encode()
    yield "escaped twice", text.replace('{', '{"\\u0066ormat": 1, ', 1).encode()
    yield "escaped once", text.replace('"format"', '"\\u0066ormat"').encode()
    for name, other in (("fraction", "1.0"), ("exponent", "1e0"), ("minus zero", "-0"), ("plus", "+1"), ("zero in front", "01")):
        yield "format as " + name, text.replace('"format": 1', '"format": ' + other).encode()
    yield "pulled at minus zero", with_value(proof, ("pulled_at_s",), "X") and text.replace(
        '"pulled_at_s": %d' % proof["pulled_at_s"], '"pulled_at_s": -0').encode()
    yield "invalid UTF-8", text.encode().replace(b'"served_by": "', b'"served_by": "\xff', 1)
    yield "lone surrogate", text.replace('"served_by": "', '"served_by": "\\ud800', 1).encode()
    yield "deep", ("[" * 100_000 + "]" * 100_000).encode()
    yield "empty", b""
    yield "null", b"null"
    yield "cut", text[:-1].encode()
    yield "comment", ("/* */" + text).encode()


def every_change(proof, files, trust):
    """All changes of one proof, one at a time."""
    emit("as it is", proof, files, trust)
    emit("nothing trusted", proof, files, None)
    federation, charter = trust.split("@")
    emit("another charter trusted", proof, files, federation + "@" + "01" * 32)
    emit("another federation trusted", proof, files, "01" * 32 + "@" + charter)
    for name, data in of_text_form(proof):
        emit("text: " + name, data, files, trust)
    for path in list(places(proof)):
        where = "/".join(map(str, path))
        emit(where + " removed", without(proof, path), files, trust)
        for name, other in of_type(get(proof, path)):
            emit("%s: %s" % (where, name), with_value(proof, path, other), files, trust)
        if isinstance(path[-1], int) and path[-1] > 0:
            before = path[:-1] + (path[-1] - 1,)
            swapped = with_value(with_value(proof, path, get(proof, before)), before, get(proof, path))
            emit(where + " swapped with the one before", swapped, files, trust)
    for path in list(envelopes(proof)):
        for name, data in of_envelope(base64.b64decode(get(proof, path))):
            emit("%s: %s" % ("/".join(map(str, path)), name), with_value(proof, path, b64(data)), files, trust)
    for name, note in of_note(proof["checkpoint"]):
        emit("note: " + name, with_value(proof, ("checkpoint",), note), files, trust)
    for name, other in of_files(files):
        emit("files: " + name, proof, other, trust)


def of_files(files):
    for path, (digest, size) in files.items():
        yield path + " missing", {p: f for p, f in files.items() if p != path}
        yield path + " of another size", dict(files, **{path: (digest, size + 1)})
        yield path + " of another hash", dict(files, **{path: ("sha256:" + "00" * 32, size)})
        yield path + " under another name", {(p + "x" if p == path else p): f for p, f in files.items()}
    yield "one more", dict(files, extra=("sha256:" + "00" * 32, 0))
    yield "none", {}


def vectors(folder):
    with open(os.path.join(folder, "cases.json"), encoding="utf-8") as file:
        cases = json.load(file)
    done = set()
    for case in cases:
        with open(os.path.join(folder, case["proof"]), encoding="utf-8") as file:
            proof = json.load(file)
        files = {path: (f["sha256"], f["size"]) for path, f in case["folder"].items()}
        if case["trust"] and case["verdict"] == "verified" and not case.get("edits") and case["proof"] not in done:
            done.add(case["proof"])
            every_change(proof, files, case["trust"])
        for edit in case.get("edits", []):
            *path, last = (int(p) if p.isdigit() else p for p in edit["at"].split("/")[1:])
            place = get(proof, path)
            if "set" in edit:
                place[last] = edit["set"]
            else:
                del place[last]
        check = verify.Check(json.dumps(proof).encode(), files, verify.trusted(case["trust"]) if case["trust"] else None)
        failed = [name for name, ok, _ in check.steps if not ok and name != "anchor"]
        got = [check.verdict, (failed + [None])[0] if check.verdict == "failed" else None,
               list(check.witnessed) if check.witnessed else None]
        if got != [case["verdict"], case["step"], case["witnessed"]]:
            sys.exit("vector %r: verify.py says %r" % (case["name"], got))
        emit("vector: " + case["name"], proof, files, case["trust"])


def main():
    if verify.Ed25519PublicKey is None:
        sys.exit("the Python package `cryptography` is missing")
    if sys.argv[1] == "folder":
        with open(os.path.join(sys.argv[2], ".verbund", "provenance.json"), "rb") as file:
            proof = verify.parse_json(file.read())
        every_change(proof, verify.folder(sys.argv[2]), sys.argv[3])
    elif sys.argv[1] == "vectors":
        vectors(sys.argv[2])
    else:
        import forge
        forge.all_of(emit)


if __name__ == "__main__":
    main()
