"""Fails where a file includes one of a layer that comes after its own, or two sources of a row have a name in common.

Usage: layers_test.py SOURCE_DIR    checks include/reverie and src of that tree
       layers_test.py --self-check  shows on made-up trees that it finds what it looks for

Layers on one row of ROWS do not know one another; each knows itself and every row before it.

The sources of a row are compiled as one file: of two functions in unnamed namespaces with one name but other parameters
a call could take the wrong one, without a word from the compiler.
"""
import pathlib
import re
import sys
import tempfile

ROWS = [
    ["core"],
    ["config"],
    ["env", "data", "nn", "control"],
    ["models", "policies", "render"],
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

UNNAMED = re.compile(r"^namespace \{\n(.*?)^\}  // namespace$", re.MULTILINE | re.DOTALL)
# What a line at the margin of an unnamed namespace defines: a type, a constant, a function.
DEFINED = [re.compile(r"^(?:struct|class|enum class) (\w+)"),
           re.compile(r"^(?:constexpr|const|static|thread_local|volatile)\b[^(]*?\b(\w+)(?:\[\w*\])?(?: = |\{|;)"),
           re.compile(r"^[\w\[].*?\b(?!REVERIE_)(\w+)\(")]


def own_names(text):
    """What the unnamed namespaces of a source define. An alias may be there twice: where two differ, the compiler says so."""
    lines = [line for part in UNNAMED.findall(text) for line in part.splitlines()]
    found = (next(filter(None, (pattern.match(line) for pattern in DEFINED)), None) for line in lines)
    return {match[1] for match in found if match}


def check_names(tree):
    wrong, owner = [], {}
    for path in sorted((tree / "src").rglob("*.cc")):
        where = path.relative_to(tree)
        for name in sorted(own_names(path.read_text())):
            other = owner.setdefault((ROW_OF.get(where.parts[1]), name), where)
            if other != where:
                wrong.append(f"{where}: {name} is a name of {other} too; the two are compiled as one file")
    return wrong


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
    """Each made-up tree has one file; the last column says whether it breaks a rule."""
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
    # Two sources of a row of layers, or of two.
    names = [
        ("src/models/b.cc", "bool Same(std::string_view name) {\n", True),
        ("src/models/b.cc", "constexpr int kSame = 2;\n", True),
        ("src/models/b.cc", "constexpr std::array<std::pair<A, const char*>, 4> kSame = {{}};\n", True),
        ("src/models/c/b.cc", "struct Type : Other {\n", True),
        ("src/models/b.cc", "[[noreturn]] void Fail(const char* what) {\n", True),
        ("src/models/b.cc", "std::vector<int> Another(int a) {\n  return Same(a);\n", False),
        ("src/policies/b.cc", "bool Same(std::string_view name) {\n", True),
        ("src/core/b.cc", "bool Same(std::string_view name) {\n", False),
    ]
    first = "bool Same(int a) { return a; }\nstruct Type {\n};\nconstexpr double kSame = 1.0;\nvoid Fail(int) {}\n"
    failures = 0
    for file, text, breaks in names:
        with tempfile.TemporaryDirectory() as folder:
            for name, body in (("src/models/a.cc", first), (file, text)):
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("namespace reverie {\nnamespace {\n" + body + "}  // namespace\n}\n")
            wrong = check_names(pathlib.Path(folder))
            if bool(wrong) != breaks:
                print(f"{file} with {text!r}: expected {'an error' if breaks else 'none'}, got {wrong}")
                failures += 1
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
    wrong += check_names(pathlib.Path(sys.argv[1]))
    print("\n".join(wrong) or f"{seen} includes, all of a layer before or of the same")
    sys.exit(1 if wrong or seen == 0 else 0)


if __name__ == "__main__":
    main()
