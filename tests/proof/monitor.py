"""A monitor: reads a whole log of a node over HTTPS by C2SP tlog-tiles, recomputes the root from the entries, and checks checkpoint
and cosignatures. Shares no code with the node.

    monitor.py PREFIX CERTIFICATE FEDERATION LOG      the token stands in TOKEN

Prints JSON: size, root, tiles, entries, cosigners.
"""
import hashlib
import json
import os
import ssl
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import verify  # noqa: E402

WIDTH = 256


def get(prefix, path, context):
    request = urllib.request.Request(prefix + path, headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        return answer.read(), answer.headers


def place(number):
    """C2SP: groups of three digits, all but the last after an x."""
    groups = ["%03d" % (number % 1000)]
    while number >= 1000:
        number //= 1000
        groups.append("x%03d" % (number % 1000))
    return "/".join(reversed(groups))


def paths(kind, count):
    """All tiles of a level that has so many hashes or entries."""
    for index in range((count + WIDTH - 1) // WIDTH):
        width = min(WIDTH, count - index * WIDTH)
        yield "/tile/%s/%s" % (kind, place(index)) + (".p/%d" % width if width < WIDTH else ""), width


def root(hashes):
    """RFC 6962, 2.1."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\1" + root(hashes[:split]) + root(hashes[split:])).digest()


def main():
    prefix, certificate, federation, log = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate)
    note, headers = get(prefix, "/checkpoint", context)
    assert headers["Content-Type"].startswith("text/plain"), headers["Content-Type"]
    assert "immutable" not in headers["Cache-Control"]
    checkpoint = verify.Checkpoint(note.decode(), federation, log)
    tiles, entries = 0, []
    for path, width in paths("entries", checkpoint.size):
        data, headers = get(prefix, path, context)
        assert ("immutable" in headers["Cache-Control"]) == (width == WIDTH), headers["Cache-Control"]
        tiles, count = tiles + 1, 0
        while data:
            length = int.from_bytes(data[:2], "big")
            assert len(data) >= 2 + length, "a cut bundle"
            entries.append(data[2:2 + length])
            data, count = data[2 + length:], count + 1
        assert count == width, "%s holds %d entries" % (path, count)
    level, expected = 0, [verify.leaf_hash(entry) for entry in entries]
    while expected:
        hashes = []
        for path, width in paths(str(level), len(expected)):
            data, _ = get(prefix, path, context)
            assert len(data) == 32 * width, "%s has %d bytes" % (path, len(data))
            tiles += 1
            hashes += [data[at:at + 32] for at in range(0, len(data), 32)]
        assert hashes == expected, "level %d is not what follows from the entries" % level
        whole = len(expected) // WIDTH
        level, expected = level + 1, [root(expected[at * WIDTH:(at + 1) * WIDTH]) for at in range(whole)]
    assert root([verify.leaf_hash(entry) for entry in entries]) == checkpoint.root, "the entries lead to another root"
    cosigners = sorted(verify.base58(bytes.fromhex("002408011220") + key) for key in checkpoint.cosigned)
    print(json.dumps({"size": checkpoint.size, "root": checkpoint.root.hex(), "tiles": tiles, "entries": len(entries),
                      "cosigners": cosigners, "bad": checkpoint.bad, "types": [json.loads(e)["payloadType"] for e in entries]}))


if __name__ == "__main__":
    main()
