#!/usr/bin/env python3
"""Checks what ARCHITECTURE.md says and no compiler enforces: who may depend on whom, where C may be imported, and a
handful of house rules that a search can tell. Prints each offence as file:line and ends with a count."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The arrows. A target may leave one out; it may not have another. System libraries and other packages' products count.
BASICS = {"Logging", "Metrics", "DequeModule", "OrderedCollections", "HeapModule", "HashTreeCollections", "Atomics"}
NIO = {"NIOCore", "NIOPosix", "NIOConcurrencyHelpers", "NIOTLS"}
ARROWS = {
    "CSHA256": set(),
    "CWire": {"CProtobufC"},
    "CBlockstore": {"CLMDB"},
    "CResolver": set(),
    "Multiformats": {"CSodium", "CSHA256", "Crypto"},
    "PeerIdentity": {"Multiformats", "CSodium", "COpenSSL", "CWire", "CSecp256k1", "Crypto", "CryptoExtras"},
    "Blockstore": {"Multiformats", "CBlockstore", "NIOCore", "NIOConcurrencyHelpers"} | BASICS,
    "Libp2p": {"PeerIdentity", "CWire", "Multiformats", "Crypto", "NIOSSL", "X509", "SwiftASN1"} | NIO | BASICS,
    "Routing": {"Libp2p", "CResolver", "PeerIdentity", "Multiformats"} | NIO | BASICS,
    "Bitswap": {"Libp2p", "Blockstore", "CWire", "PeerIdentity", "Multiformats"} | NIO | BASICS,
    "BitswapNode": {"Bitswap", "Routing", "Libp2p", "Blockstore", "PeerIdentity", "Multiformats"}
    | {"ServiceLifecycle"} | NIO | BASICS,
    "BitswapCLI": {"BitswapNode", "Bitswap", "Routing", "Libp2p", "Blockstore", "PeerIdentity", "Multiformats"}
    | {"ArgumentParser", "ServiceLifecycle", "UnixSignals", "CMalloc"} | NIO | BASICS,
    "FetchBlock": {"BitswapNode", "Blockstore", "Multiformats", "NIOCore"},
}
NO_FOUNDATION = set(ARROWS) - {"BitswapNode", "BitswapCLI"}
# A C module is imported only in files whose names say so.
C_FILES = {
    "CSodium": "+Sodium.swift",
    "COpenSSL": "+OpenSSL.swift",
    "CMalloc": "+Malloc.swift",
    "CSHA256": "+SHA.swift",
    "CLMDB": "+LMDB.swift",
    "CBlockstore": "+LMDB.swift",
    "CWire": "+Wire.swift",
    "CResolver": "+Resolver.swift",
    "CProtobufC": "+Wire.swift",
    "CSecp256k1": "+Secp256k1.swift",
}
# X509 speaks of time in Foundation's dates, which it links anyway; only who speaks to it may too.
FOUNDATION_FILES = "+X509.swift"
LINES_A_FILE = 600
NOT_IN_PRODUCT_CODE = {
    r"\btry!": "try! traps",
    r"\bas!": "as! traps",
    r"\bTask\.detached\b": "a detached task has no owner",
    r"\b(TODO|FIXME|XXX)\b": "finish it or file an issue",
    r"\bThread\.sleep\b|\busleep\(": "blocks its thread",
}
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\(\w+\))?\s+)*(public|package|internal|private|fileprivate)?\s*"
    r"import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)"
)


def arrows():
    described = subprocess.run(
        ["swift", "package", "describe", "--type", "json"], cwd=ROOT, capture_output=True, text=True
    )
    if described.returncode:
        yield f"Package.swift: swift package describe failed: {described.stderr.strip()}"
        return
    package = json.loads(described.stdout[described.stdout.index("{") :])
    for target in package["targets"]:
        name = target["name"]
        if target["type"] not in ("library", "executable") or target["path"].startswith("Tests/"):
            continue
        if name not in ARROWS:
            yield f"Package.swift: {name} is new: draw its arrows in ARCHITECTURE.md and in {Path(__file__).name}"
            continue
        found = set(target.get("target_dependencies", [])) | set(target.get("product_dependencies", []))
        for other in sorted(found - ARROWS[name]):
            yield f"Package.swift: {name} must not depend on {other}"


def manifest():
    for number, line in lines(ROOT / "Package.swift"):
        if "unsafeFlags" in line:
            yield f"Package.swift:{number}: unsafeFlags keep the package from being anyone's dependency"


def imports():
    known = set(ARROWS).union(*ARROWS.values())
    for path in product_files():
        module = path.relative_to(ROOT / "Sources").parts[0]
        for number, line in lines(path):
            if not (match := IMPORT.match(line)):
                continue
            access, name = match.groups()
            place = f"{path.relative_to(ROOT)}:{number}"
            if name in C_FILES:
                if not path.name.endswith(C_FILES[name]):
                    yield f"{place}: {name} is imported only in files named Something{C_FILES[name]}"
                if access == "public":
                    yield f"{place}: public import of {name} would let C into public signatures"
            if name == "X509" and not path.name.endswith(FOUNDATION_FILES):
                yield f"{place}: X509 is imported only in files named Something{FOUNDATION_FILES}"
            if name.startswith("Foundation") and module in NO_FOUNDATION and not path.name.endswith(FOUNDATION_FILES):
                yield f"{place}: {module} does without Foundation"
            if name in known and name not in ARROWS.get(module, {name}) | {module}:
                yield f"{place}: {module} must not know {name}"


def length():
    for top in ("Sources", "CSupport", "Tests"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".swift", ".c", ".h", ".py") or "generated" in path.parts:
                continue
            count = sum(1 for _ in lines(path))
            if count > LINES_A_FILE:
                yield f"{path.relative_to(ROOT)}: {count} lines, {LINES_A_FILE} are the most: it holds more than one idea"


def house_rules():
    for path in product_files():
        before = ""
        for number, line in lines(path):
            code = line.split("//")[0]
            place = f"{path.relative_to(ROOT)}:{number}"
            for pattern, why in NOT_IN_PRODUCT_CODE.items():
                if re.search(pattern, line if "TODO" in pattern else code):
                    yield f"{place}: {why}"
            if re.search(r"@unchecked Sendable|nonisolated\(unsafe\)", code):
                if "//" not in line and not before.strip().startswith("//") and not before.strip().startswith("@"):
                    yield f"{place}: says nowhere why this is safe"
            before = line


def product_files():
    return sorted((ROOT / "Sources").rglob("*.swift"))


def lines(path):
    with path.open(encoding="utf-8") as file:
        yield from enumerate(file, 1)


def main():
    passed = failed = 0
    for check in (arrows, manifest, imports, length, house_rules):
        offences = list(check())
        passed, failed = passed + (not offences), failed + bool(offences)
        for offence in offences:
            print(offence)
    print(f"architecture: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
