"""Fails where a file includes one of a layer that comes after its own.

Usage: layers_test.py SOURCE_DIR    checks include/reverie and src of that tree
       layers_test.py --self-check  shows on made-up trees that it finds what it looks for

Layers on one row of ROWS do not know one another; each knows itself and every row before it.
"""
import pathlib
import re
import sys
import tempfile

ROWS = [
    ["core"],
    ["config"],
    ["env", "data", "nn"],
    ["models", "policies", "control", "render"],
    ["rollout", "planning", "learners"],
    ["run"],
    ["report"],
    ["algorithms"],
    ["sweep"],
    ["apps"],
]
ROW_OF = {layer: row for row, layers in enumerate(ROWS) for layer in layers}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def included_layer(name):
    """The layer that `#include "name"` leads to, or None where it is not one of our files in another folder."""
    parts = name.split("/")
    if parts[0] == "reverie":
        return parts[1]
    if parts[0] in ROW_OF and len(parts) > 1:
        return parts[0]
    return None


def check(tree):
    """Sentences about what is wrong in the tree; and the number of includes between files of ours."""
    wrong, seen = [], 0
    for top in (tree / "include" / "reverie", tree / "src"):
        for path in sorted(p for p in top.rglob("*") if p.suffix in (".h", ".cc", ".cu", ".cuh")):
            where = path.relative_to(tree)
            folder = path.relative_to(top).parts[0]
            if path.parent == top:
                if path.name != "pch.h":
                    wrong.append(f"{where}: outside every layer")
                continue
            if folder not in ROW_OF:
                wrong.append(f"{where}: {folder} is no known layer; add it to tests/layers_test.py")
                continue
            for name in INCLUDE.findall(path.read_text()):
                other = included_layer(name)
                if other is None:
                    continue
                seen += 1
                if other not in ROW_OF:
                    wrong.append(f"{where}: includes {name}: {other} is no known layer")
                elif other != folder and ROW_OF[other] >= ROW_OF[folder]:
                    wrong.append(f"{where}: includes {name}, but {other} comes after or beside {folder}")
    return wrong, seen


def self_check():
    """Each made-up tree has one file; the second column says whether it breaks the order."""
    cases = [
        ("src/core/a.cc", '#include "reverie/core/b.h"\n', False),
        ("src/run/a.cc", '#include "reverie/learners/b.h"\n', False),
        ("src/core/a.cc", '#include "reverie/config/b.h"\n', True),
        ("include/reverie/env/toy/a.h", '  #  include <reverie/models/b.h>\n', True),
        ("include/reverie/env/a.h", '#include "reverie/data/b.h"\n', True),
        ("src/learners/a.cc", '#include "rollout/b.h"\n', True),
        ("src/nn/kernels.cu", '#include "reverie/policies/b.h"\n', True),
        ("src/core/a.cc", '#include "reverie/nowhere/b.h"\n', True),
        ("src/nowhere/a.cc", "", True),
        ("src/core/a.cc", '// #include "reverie/apps/b.h"\n#include <torch/types.h>\n', False),
    ]
    failures = 0
    for file, text, breaks in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / file
            path.parent.mkdir(parents=True)
            path.write_text(text)
            wrong, _ = check(pathlib.Path(folder))
            if bool(wrong) != breaks:
                print(f"{file} with {text!r}: expected {'an error' if breaks else 'none'}, got {wrong}")
                failures += 1
    return failures


def main():
    if sys.argv[1:] == ["--self-check"]:
        sys.exit(1 if self_check() else 0)
    wrong, seen = check(pathlib.Path(sys.argv[1]))
    print("\n".join(wrong) or f"{seen} includes, all of a layer before or of the same")
    sys.exit(1 if wrong or seen == 0 else 0)


if __name__ == "__main__":
    main()
