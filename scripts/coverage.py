#!/usr/bin/env python3
"""Runs the unit tests with coverage and prints the covered lines of each folder of Sources.

The scenarios drive the release binary and are not counted here.
"""
import collections
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEST = ["swift", "test", "--enable-code-coverage", "--scratch-path", ".build/coverage"]


def main():
    code = subprocess.run(TEST, cwd=ROOT).returncode
    if code != 0:
        return code
    report = subprocess.run([*TEST, "--show-codecov-path"], cwd=ROOT, check=True, capture_output=True, text=True)
    with open(report.stdout.strip(), encoding="utf-8") as file:
        data = json.load(file)["data"][0]
    folders = collections.defaultdict(lambda: [0, 0])
    for entry in data["files"]:
        path = os.path.relpath(entry["filename"], ROOT)
        if not path.startswith("Sources" + os.sep):
            continue
        lines = entry["summary"]["lines"]
        for folder in (os.path.dirname(path), "all of Sources"):
            folders[folder][0] += lines["covered"]
            folders[folder][1] += lines["count"]
    if not folders:
        print("no file of Sources was measured", file=sys.stderr)
        return 1
    print(f"\n{'folder':<32} {'covered':>8} {'lines':>8}")
    for folder in sorted(folders, key=lambda name: (name == "all of Sources", name)):
        covered, count = folders[folder]
        share = 100 * covered / count if count else 100
        print(f"{folder:<32} {covered:>8} {count:>8} {share:>6.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
