"""Holds `scripts/verify.py` to the golden vectors that it touches: JSON, envelopes, identities, charters, trees and notes.

    golden.py VECTORS

Prints how many it checked; ends with 1 and says which if one is not as it should be."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import verify  # noqa: E402


def load(*path):
    with open(os.path.join(sys.argv[1], *path), encoding="utf-8") as file:
        return json.load(file)


def outcome(judge):
    """What a judgement gives, or None and why it was refused."""
    try:
        return judge(), None
    except verify.Refused as refused:
        return None, str(refused)


def compare(name, refused, expected, got, value):
    """`expected` is None for what must be refused."""
    global CHECKED
    CHECKED += 1
    if (expected is None) != (refused is not None) or (expected is not None and got != value):
        WRONG.append("%s: %r, expected %r (%s)" % (name, got, value if expected is not None else "a refusal", refused))


CHECKED, WRONG = 0, []


def texts():
    for case in load("documents", "json.json"):
        got, refused = outcome(lambda: verify.canonical(verify.parse_json(case["text"].encode("utf-8"))))
        compare("json: " + case["name"], refused, case["canonical"], got, case["canonical"])


def envelopes():
    found = load("documents", "envelope.json")
    keys = {key["name"]: key["public"] for key in found["keys"]}
    for case in found["cases"]:
        got, refused = outcome(lambda: sorted(
            name for name, key in keys.items() if verify.Envelope(case["envelope"].encode()).by(key)))
        expected = None if case["error"] else sorted(case["signed_by"])
        compare("envelope: " + case["name"], refused, expected, got, expected)


def identities():
    found = load("documents", "identity.json")
    chain = []
    for case in found["chain"]:
        envelope = verify.Envelope(case["envelope"].encode())
        got, refused = outcome(lambda: verify.next_identity(chain[-1], envelope) if chain else verify.first_identity(envelope))
        compare("identity: " + case["name"], refused, True, got is not None, True)
        chain.append(got)
    for case in found["invalid"]:
        before = chain[case["after"] - 1] if case["after"] else None
        envelope = outcome(lambda: verify.Envelope(case["envelope"].encode()))[0]
        got, refused = outcome(lambda: verify.next_identity(before, envelope) if before else verify.first_identity(envelope))
        compare("identity: " + case["name"], refused, None, got, None)


def charters():
    def bundle(text):
        parts = {name: [part.encode() for part in parts] for name, parts in text.items() if name != "payload"}
        return dict(parts, payload=text["payload"].encode())
    chain = []
    for case in load("charter", "chain.json")["versions"]:
        got, refused = outcome(lambda: verify.Certified(chain[-1] if chain else None, bundle(case["bundle"])))
        compare("charter: " + case["name"], refused, True, got is not None, True)
        chain.append(got)
    for case in load("charter", "invalid.json"):
        before = chain[case["after"] - 1] if case["after"] else None
        got, refused = outcome(lambda: verify.Certified(before, bundle(case["bundle"])))
        compare("charter: " + case["name"], refused, None, got, None)


def trees():
    found = load("log", "tree.json")
    for case in found["inclusion"]:
        def proven():
            verify.need(case["size"] == case["tree"]["size"], "a path for another size")
            root = verify.inclusion_root(case["index"], case["size"], verify.raw(case["leaf_hash"]),
                                         [verify.raw(h) for h in case["hashes"]])
            verify.need(root == verify.raw(case["tree"]["root"]), "another root")
            return True
        got, refused = outcome(proven)
        compare("inclusion: " + case["name"], refused, None if case["error"] else True, got, True)
    for case in found["consistency"]:
        def grew():
            sizes = (case["from_tree"]["size"], case["to_tree"]["size"])
            verify.need((case["from"], case["to"]) == sizes, "a path for other sizes")
            roots = verify.consistency_roots(case["from"], case["to"], [verify.raw(h) for h in case["hashes"]])
            verify.need(roots == (verify.raw(case["from_tree"]["root"]), verify.raw(case["to_tree"]["root"])), "other roots")
            return True
        got, refused = outcome(grew)
        compare("consistency: " + case["name"], refused, None if case["error"] else True, got, True)


def points():
    """The y of the points of small order follow from the curve: for order 8 d y^4 + 2 y^2 = 1."""
    p = verify.P
    d = -121665 * pow(121666, p - 2, p) % p
    eighth = [y for y in verify._SMALL_ORDER if (d * pow(y, 4, p) + 2 * y * y) % p == 1]
    compare("points of order 8", None, True, len(eighth) == 2 and verify._SMALL_ORDER - set(eighth) == {0, 1, p - 1}, True)


def notes():
    found = load("log", "note.json")
    for case in found["notes"]:
        got, refused = outcome(lambda: verify.Checkpoint(case["note"], found["federation"], found["log"]["peer"]).size)
        expected = None if case.get("error") else case["checkpoint"]["size"]
        compare("note: " + case["name"], refused, expected, got, expected)


def main():
    if verify.Ed25519PublicKey is None:
        sys.exit("the Python package `cryptography` is missing")
    for part in (texts, envelopes, identities, charters, trees, notes, points):
        before = CHECKED
        part()
        print("%s: %d" % (part.__name__, CHECKED - before))
    if WRONG:
        sys.exit("\n".join(WRONG))


if __name__ == "__main__":
    main()
